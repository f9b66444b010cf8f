"""Securities, signal events, labels, datasets and scores."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from .base import (
    ClockMeta,
    Count,
    Day,
    Document,
    Entity,
    LatencyModelName,
    Meta,
    Number,
    Schema,
    Sha256,
    Text,
    Time,
    Ulid,
)

Unit = Annotated[float, Field(ge=0, le=1, examples=[0.75])]
SignalId = Annotated[str, Field(examples=["S001"])]


class Identifier(Schema):
    """A dated ticker, name, FIGI or exchange, half-open; an open end says that the source gives no date."""

    kind: str = Field(examples=["ticker"])
    value: str = Field(examples=["AAPL"])
    source: str = Field(examples=["edgar/submissions"])
    valid_from: Day | None
    valid_to: Day | None
    share_class: str = Field(
        description="FIGI of the share class; empty where no source says.", examples=["BBG001S5N8V8"]
    )
    is_primary: bool = Field(description="Whether it is of the issuer's primary share class.", examples=[True])


class SecuritySummary(Schema):
    """One entity."""

    entity_id: Entity
    asset_class: str = Field(examples=["equity"])
    cik: str | None = Field(examples=["0000320193"])
    name: str = Field(examples=["Apple Inc."])
    sic: str | None = Field(examples=["3571"])
    fiscal_year_end: str | None = Field(examples=["0928"])
    primary_ticker: str | None = Field(examples=["AAPL"])
    currency: str = Field(examples=["USD"])
    listed_on: Day | None
    delisted_on: Day | None = Field(description="The last day of trading.")


class Security(SecuritySummary):
    """One entity with its dated identifiers. With `as_of`, `primary_ticker` is that of the day where it is dated."""

    identifiers: list[Identifier]


class SecurityPage(Schema):
    """Securities by entity_id."""

    data: list[SecuritySummary]
    meta: Meta


class FrontierEntry(Schema):
    """The latest input of one source type and form among all the event was computed from."""

    source_type: str = Field(examples=["ownership"])
    form: str | None = Field(examples=["4"])
    collection_mode: Literal["live", "backfill"] = Field(examples=["backfill"])
    event_time: Time | None
    observed_time: Time


class SignalEvent(Schema):
    """One firing of one signal, in the latest revision that was available."""

    event_id: Ulid
    revision: int = Field(ge=1, examples=[1])
    event_key: str = Field(examples=['["S001","0000320193",["0000320193-24-000071"],"3f3f"]'])
    signal_id: SignalId
    family: str = Field(examples=["F01"])
    entity_id: Entity
    event_time: Time
    available_time: Time
    observed_time: Time
    ingest_time: Time
    strength_norm: Unit
    direction: int = Field(ge=-1, le=1, examples=[1])
    reliability: Unit
    chain_affinity: dict[str, float] = Field(examples=[{"CT-01": 0.8}])
    frontier: list[FrontierEntry]
    raw_record_ids: list[Ulid]
    attributes: Document
    active: bool = Field(description="False: withdrawn by this revision.", examples=[True])
    definitions_hash: Sha256 = Field(description="Of the signal's own rule, `rule_hash` in the definitions document.")
    extractor_version: Sha256
    content_hash: Sha256


class SignalMeta(ClockMeta):
    """What an answer about signals rests on."""

    latency_model: LatencyModelName | None = Field(description="Null only where there is nothing to apply one to.")
    definitions_hash: Sha256 | None = Field(description="The definitions filtered by; null: none are stored.")


class SignalPage(Schema):
    """Signal events that were available at as_of."""

    data: list[SignalEvent]
    meta: SignalMeta


class SignalRevisions(Schema):
    """Every revision of one event that was available at as_of, oldest first."""

    data: list[SignalEvent]
    meta: SignalMeta


class CatalogueSignal(Schema):
    """One signal of the catalogue, active or not."""

    signal_id: SignalId
    name: str = Field(examples=["late_periodic_notice"])
    family: str = Field(examples=["F03"])
    family_name: str = Field(examples=["disclosure irregularity"])
    stage: int = Field(ge=1, le=3, description="1 early trace, 2 build-up, 3 confirmation.", examples=[2])
    tier: int = Field(ge=1, le=3, examples=[1])
    half_life_hours: float = Field(examples=[1440.0])
    direction: Literal[-1, 0, 1] | Literal["sign"] = Field(description="sign: of what is measured.", examples=[-1])
    chain_affinity: dict[str, float] = Field(examples=[{"CT-03": 0.9}])
    status: Literal["v2.0", "wired-later", "planned"] = Field(examples=["v2.0"])
    source_type: str = Field(description="The feed it is named after.", examples=["filing_index"])
    active: bool = Field(examples=[True])
    waits_for: str | None = Field(
        description="The feed or rule it waits for; null where active.", examples=["the options feed"]
    )
    rule: str | None = Field(examples=["NT 10-K, NT 10-Q or NT 20-F."])
    source_types: list[str] = Field(description="All that it reads.", examples=[["filing_index"]])
    params: Document
    tables: list[str] = Field(description="The lookup tables its code asks for.", examples=[["item_numbering_from"]])
    extractor: str | None = Field(examples=["signaldelta_assets.extractors.f03_disclosure"])
    extractor_version: Sha256 | None
    rule_hash: Sha256 | None = Field(description="Names all that decides what this one signal makes.")


class CatalogueMeta(Schema):
    """Which definitions were listed."""

    definitions_hash: Sha256
    signals: Count
    active: Count


class Catalogue(Schema):
    """The signals of the catalogue by signal_id."""

    data: list[CatalogueSignal]
    meta: CatalogueMeta


class CatalogueAnswer(Schema):
    """One signal of the catalogue."""

    data: CatalogueSignal
    meta: CatalogueMeta


class FamilyDelta(Schema):
    """The score minus the score recomputed without the family."""

    magnitude: Number
    lean: Number
    confidence: Number


class Score(Schema):
    """The score of one entity at one moment with its explanation (units: scoring model; all dimensionless)."""

    entity_id: Entity
    at: Time
    scoring_model_hash: Sha256
    latency_model_hash: Sha256
    definitions_hash: Sha256
    input_hash: Sha256
    ingest_time: Time
    evidence: Number
    effective_families: Number
    magnitude: Unit
    lean: float = Field(ge=-1, le=1, examples=[0.4])
    confidence: Unit
    quality: Number
    diversity: Number
    ordering: Number
    n_events: Count
    legacy_score: float = Field(examples=[56.2])
    verdict: str = Field(examples=["HOLD"])
    chain_probabilities: dict[str, float] = Field(examples=[{"CT-01": 0.3, "UNKNOWN": 0.7}])
    family_deltas: dict[str, Any] = Field(examples=[{"F01": {"magnitude": 0.2, "lean": 0.1, "confidence": 0.05}}])
    top_contributors: list[Any] = Field(examples=[[{"event_id": "01HZFNS0V0QJ5Y8T1J3M8Z6K4D", "delta_magnitude": 0.2}]])


class ScorePage(Schema):
    """Scores, never later than as_of."""

    data: list[Score]
    meta: ClockMeta


class ScoreAnswer(Schema):
    """The latest score at or before as_of."""

    data: Score
    meta: ClockMeta


class Label(Schema):
    """One labeled event of the ground truth, in the latest revision that was known."""

    label_id: Ulid
    revision: int = Field(ge=1, examples=[1])
    label_key: str = Field(examples=['["EARNINGS_SURPRISE","0000320193",["2024Q2"],"3f3f"]'])
    event_type: Text
    subtype: str = Field(examples=["positive"])
    entity_id: Entity
    event_time: Time
    time_precision: Literal["second", "day", "interpolated"] = Field(examples=["second"])
    known_at: Time
    observed_time: Time
    ingest_time: Time
    confidence: Unit
    raw_record_ids: list[Ulid]
    source_url: str = Field(examples=["https://www.sec.gov/Archives/edgar/data/320193/0000320193-24-000071.txt"])
    classifier_version: Sha256
    definitions_hash: Sha256 = Field(description="Of the type's own rule, `rule_hash` in the definitions document.")
    attributes: Document
    content_hash: Sha256


class LabelMeta(ClockMeta):
    """What an answer about labels rests on."""

    definitions_hash: Sha256 | None = Field(description="The definitions filtered by; null: none are stored.")


class LabelPage(Schema):
    """Labels that were known at as_of."""

    data: list[Label]
    meta: LabelMeta


class LabelAnswer(Schema):
    """One label as it was known at as_of."""

    data: Label
    meta: ClockMeta


class CoverageCell(Schema):
    """Labels of one type, month and asset class."""

    definitions_hash: Sha256 = Field(description="Of the type's own rule, `rule_hash` in the definitions document.")
    event_type: Text
    asset_class: str = Field(examples=["equity"])
    month: Day
    events: Count
    entities: Count
    mean_confidence: Number | None
    events_of_type: Count
    insufficient: bool = Field(description="Fewer than 30 labels in this cell.", examples=[True])
    type_insufficient: bool = Field(description="Fewer than 30 labels of this type.", examples=[False])


class CoveragePage(Schema):
    """Label coverage by type, month and asset class."""

    data: list[CoverageCell]
    meta: Meta


class Dataset(Schema):
    """A frozen version of the ground truth."""

    dataset_id: Ulid
    version: int = Field(ge=1, examples=[3])
    dataset_hash: Sha256
    definitions_hash: Sha256
    as_of: Time
    window_start: Time | None
    window_end: Time | None
    event_count: Count
    event_type_distribution: Document
    coverage: Any = Field(examples=[{"EARNINGS_SURPRISE": {"2024-06": 12}}])
    parent_hash: Sha256 | None
    ingest_time: Time
    include_interpolated: bool = Field(description="Labels of interpolated time are members too.", examples=[False])
    interpolated_left_out: Count


class FieldChange(Schema):
    """A field with its values in the first and in the second dataset."""

    field: str = Field(examples=["confidence"])
    before: Any = Field(examples=[0.75])
    after: Any = Field(examples=[0.85])


class LabelChange(Schema):
    """A label that is not alike in two datasets."""

    change: Literal["added", "withdrawn", "changed"] = Field(examples=["changed"])
    event_type: Text
    entity_id: Entity
    key: list[str] = Field(examples=[["2024Q2"]])
    event_time: Time
    fields: list[FieldChange] = Field(description="Of a changed label.")


class DatasetDiffMeta(Meta):
    """Which datasets were compared, and changes by event type, those left as they were included."""

    first: Ulid
    second: Ulid
    counts: dict[str, dict[str, int]] = Field(
        examples=[{"EARNINGS_SURPRISE": {"added": 1, "withdrawn": 0, "changed": 2, "unchanged": 9}}]
    )


class DatasetDiffPage(Schema):
    """Changes from one dataset to another, by type, entity and key."""

    data: list[LabelChange]
    meta: DatasetDiffMeta


class LabelEntities(Schema):
    """Labels of one type and entity, and their share of the type's."""

    definitions_hash: Sha256 = Field(description="Of the type's own rule, `rule_hash` in the definitions document.")
    event_type: Text
    entity_id: Entity
    events: Count
    share: Unit
    is_commonest: bool = Field(description="No entity has more labels of this type.", examples=[False])


class LabelEntitiesPage(Schema):
    """Labels by type and entity."""

    data: list[LabelEntities]
    meta: Meta


class LabelMinimum(Schema):
    """The labels of an asset class beside the minimum viable dataset."""

    definitions_hash: Sha256 = Field(description="Of the definitions; of a rule that no stored definitions hold.")
    asset_class: str = Field(examples=["equity"])
    events: Count
    event_types: Count
    events_of_commonest_type: Count
    entities: Count
    months: Count
    events_needed: Count
    event_types_needed: Count
    events_of_commonest_type_needed: Count
    entities_needed: Count
    months_needed: Count
    viable: bool = Field(description="Every count reaches what is needed.", examples=[True])


class LabelMinimumPage(Schema):
    """Asset classes beside the minimum viable dataset."""

    data: list[LabelMinimum]
    meta: Meta


class DatasetPage(Schema):
    """Dataset versions, newest first."""

    data: list[Dataset]
    meta: Meta


class DatasetMember(Schema):
    """A label in the revision that a dataset froze."""

    label_id: Ulid
    revision: int = Field(ge=1, examples=[1])
    content_hash: Sha256
    event_type: Text
    subtype: str = Field(examples=["positive"])
    entity_id: Entity
    event_time: Time
    known_at: Time


class DatasetMemberPage(Schema):
    """Members of a dataset by label_id."""

    data: list[DatasetMember]
    meta: Meta
