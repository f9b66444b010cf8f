"""Bars, insiders' trades and filings of an entity."""

from __future__ import annotations

from pydantic import Field

from .base import ClockMeta, Day, Entity, LatencyModelName, Schema, Sha256, Text, Time, Ulid


class _Fact(Schema):
    entity_id: Entity
    event_time: Time = Field(description="When it happened: the end of a bar, the acceptance of a filing. UTC.")
    available_time: Time = Field(description="From when it could have been known, by the latency model. UTC.")
    observed_time: Time = Field(description="When it was received here. UTC.")
    ingest_time: Time
    raw_record_id: Ulid
    source_url: str = Field(examples=["https://www.sec.gov/Archives/edgar/data/320193/0000320193-24-000071.txt"])


class Bar(_Fact):
    """One bar of a ticker of the entity, as traded: unadjusted, a split is stated and never applied."""

    ticker: str = Field(examples=["AAPL"])
    session: Day = Field(description="Day of trading in New York.")
    open: float = Field(description="As traded.", examples=[189.25], json_schema_extra={"unit": "usd"})
    high: float = Field(description="As traded.", examples=[190.5], json_schema_extra={"unit": "usd"})
    low: float = Field(description="As traded.", examples=[188.0], json_schema_extra={"unit": "usd"})
    close: float = Field(description="As traded.", examples=[190.0], json_schema_extra={"unit": "usd"})
    volume: float = Field(description="As traded.", examples=[51234567.0], json_schema_extra={"unit": "shares"})
    vwap: float | None = Field(
        description="Average price by volume.", examples=[189.75], json_schema_extra={"unit": "usd"}
    )
    transactions: int | None = Field(examples=[512345])
    split_ratio: float | None = Field(
        description="Where shares split at the beginning of this session: how many one became. Prices before it "
        "divided by this compare with those after it; nothing here was divided.",
        examples=[4.0],
    )
    adjusted: bool = Field(description="Whether the vendor did; we ask it not to.", examples=[False])
    vintage: str = Field(description="Which series of the vendor it is of.", examples=["unadjusted"])


class InsiderLine(_Fact):
    """One line of the non-derivative table of a Form 3, 4 or 5."""

    accession: str = Field(examples=["0000320193-24-000071"])
    form: str = Field(examples=["4"])
    line: int = Field(ge=1, description="Its place in the table.", examples=[1])
    owner_ciks: list[str] = Field(description="Of all who file together.", examples=[["0001214156"]])
    owner_names: list[str] = Field(examples=[["COOK TIMOTHY D"]])
    roles: list[str] = Field(examples=[["officer", "director"]])
    officer_title: str | None = Field(examples=["Chief Executive Officer"])
    security_title: str | None = Field(examples=["Common Stock"])
    transaction_date: Day | None
    transaction_code: str | None = Field(description="Of the form: P bought, S sold, and others.", examples=["P"])
    acquired_disposed: str | None = Field(description="A or D.", examples=["A"])
    shares: float | None = Field(examples=[1000.0])
    price: float | None = Field(description="Per share, in the currency reported.", examples=[189.25])
    shares_owned_following: float | None = Field(examples=[3280000.0])
    direct_indirect: str | None = Field(description="D or I.", examples=["D"])
    plan_10b5_1: bool | None = Field(description="The form's box; null on forms that had none.", examples=[False])


class Filing(_Fact):
    """One row of the filer's list of submissions."""

    accession: str = Field(examples=["0000320193-24-000071"])
    form: str = Field(examples=["8-K"])
    items: list[str] = Field(description="Of an 8-K.", examples=[["2.02", "9.01"]])
    filing_date: Day | None
    report_date: Day | None
    primary_document: Text | None = Field(examples=["aapl-20240502.htm"])


class MarketMeta(ClockMeta):
    """What an answer about the market rests on."""

    latency_model: LatencyModelName | None = Field(description="Null only where there is nothing to apply one to.")
    definitions_hash: Sha256 | None = Field(description="Whose availability basis was used; null: none are stored.")


class BarPage(Schema):
    """Bars by the end of the bar."""

    data: list[Bar]
    meta: MarketMeta


class InsiderPage(Schema):
    """Lines of ownership documents by acceptance; `limit` counts documents."""

    data: list[InsiderLine]
    meta: MarketMeta


class FilingPage(Schema):
    """Filings by acceptance."""

    data: list[Filing]
    meta: MarketMeta
