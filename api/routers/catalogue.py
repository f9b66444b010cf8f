"""The signal catalogue: every signal, active or not, as the definitions of this installation have it."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Literal

from fastapi import Query, Request
from fastapi.responses import Response

from signaldelta_assets.catalogue import DefinitionsError, SignalDefinitions, catalogue, describe, load_definitions

from ..auth import require_tier
from ..caching import answer
from ..dependencies import reads
from ..names import SignalName
from ..problems import not_found, responses
from ..reading import Router
from ..schemas.evidence import Catalogue, CatalogueAnswer, CatalogueMeta, CatalogueSignal

router = Router(prefix="/signals/catalogue", tags=["signals"], dependencies=[require_tier("free")])
# The package's own document: no table is read.
_READS = reads()


@lru_cache(maxsize=1)
def _definitions() -> SignalDefinitions:
    """The packaged definitions, read at the first question; they change with the installation only."""
    return load_definitions()


def _meta(shown: list[CatalogueSignal]) -> CatalogueMeta:
    return CatalogueMeta(
        definitions_hash=_definitions().hash, signals=len(shown), active=sum(signal.active for signal in shown)
    )


@router.get(
    "", response_model=Catalogue, responses=responses(), openapi_extra=_READS, summary="List the signal catalogue"
)
def list_catalogue(
    request: Request,
    family: Annotated[str | None, Query(max_length=200, examples=["F03"])] = None,
    status: Annotated[Literal["v2.0", "wired-later", "planned"] | None, Query(examples=["v2.0"])] = None,
    source: Annotated[
        str | None, Query(max_length=200, description="Source type it reads.", examples=["filing_index"])
    ] = None,
) -> Response:
    """All 80 signals or those of a family, status or source type; what is not active says what it waits for."""
    shown = catalogue(_definitions(), family=family, status=status, source=source)
    data = [CatalogueSignal.model_validate(one) for one in shown]
    return answer(request, Catalogue(data=data, meta=_meta(data)))


@router.get(
    "/{signal_id}",
    response_model=CatalogueAnswer,
    responses=responses(404),
    openapi_extra=_READS,
    summary="One signal of the catalogue",
)
def get_catalogue_signal(request: Request, signal_id: SignalName) -> Response:
    """The signal with its rule, parameters and versions. Its events: `/signals?signal_id=`."""
    try:
        data = CatalogueSignal.model_validate(describe(_definitions(), signal_id))
    except DefinitionsError as error:
        raise not_found("signal", signal_id) from error
    return answer(request, CatalogueAnswer(data=data, meta=_meta([data])))
