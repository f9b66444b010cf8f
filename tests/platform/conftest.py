"""What the tests of the whole share: a small simulated archive served by the replay server, and new deployments."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from signaldelta_assets.replay import SimulationPlan, simulate
from signaldelta_assets.versioning import new_ulid
from tests.conftest import _create, _drop
from tests.platform.deployment import Deployment, make_deployment, serving, short_folder

# Two quarters of earnings, 32 surprises among them: the least that a study of one event type can be made of.
SMALL = SimulationPlan(seed=7, entities=40, days=200, pools=4)

MakeDeployment = Callable[..., Deployment]


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    with short_folder() as made:
        yield made


@pytest.fixture(scope="session")
def small_archive(folder: Path) -> Path:
    root = folder / "small"
    simulate(SMALL, root)
    return root


@pytest.fixture(scope="session")
def small_replay(small_archive: Path, folder: Path) -> Iterator[str]:
    with serving(small_archive, folder) as url:
        yield url


@pytest.fixture(scope="module")
def deploy(postgres_server: str, postgres_template: str, parsed_home: Path) -> Iterator[MakeDeployment]:
    """`deploy(replay_url, plan)`: another deployment, with a home and a database of its own."""
    with ExitStack() as stack:

        def make(replay_url: str, plan: SimulationPlan = SMALL) -> Deployment:
            name = f"signaldelta_test_{new_ulid().lower()}"
            url = _create(postgres_server, name, postgres_template)
            stack.callback(_drop, postgres_server, name)
            home = stack.enter_context(short_folder())
            shutil.copytree(parsed_home / "dbt", home / "dbt")
            return make_deployment(home, url, replay_url, plan)

        yield make
