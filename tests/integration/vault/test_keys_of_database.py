"""A gateway begins only with the keys by which its database was sealed."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from tests.support.shop import NobodyThere

from tollhouse.composition.app import ConfigurationError, Gateway, open_gateway
from tollhouse.composition.settings import Settings
from tollhouse.stage.demo import ensure_demo, load_or_create_demo


async def test_other_keys_are_refused_at_the_start(database_dsn: str, tmp_path: Path) -> None:
    """A process with other keys than its database would seal what nobody else opens: it does not start."""
    settings = Settings(data_dir=tmp_path)
    for _ in range(2):
        async with open_gateway(settings, database_dsn, NobodyThere()) as gateway:
            await make_demo(gateway)
    (tmp_path / "keys.json").unlink()
    with pytest.raises(ConfigurationError, match=f"The keys in {tmp_path}/keys.json do not belong to this database"):
        async with open_gateway(settings, database_dsn, NobodyThere()):
            pass


async def test_another_root_is_refused_at_the_start(database_dsn: str, tmp_path: Path) -> None:
    """With another root key no stored card would be found again, although everything opens: that is noticed too."""
    settings = Settings(data_dir=tmp_path)
    async with open_gateway(settings, database_dsn, NobodyThere()):
        pass
    path = tmp_path / "keys.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"root": base64.b64encode(bytes(32)).decode()}))
    with pytest.raises(ConfigurationError, match="do not belong to this database"):
        async with open_gateway(settings, database_dsn, NobodyThere()):
            pass
    path.write_text(json.dumps(content))
    async with open_gateway(settings, database_dsn, NobodyThere()):
        pass


async def make_demo(gateway: Gateway) -> None:
    """Make the demo merchant, whose secret is sealed."""
    demo = load_or_create_demo(gateway.settings.data_dir / "demo.json", base_url="http://127.0.0.1:8080")

    def seal(merchant_id: int, secret: str) -> bytes:
        return gateway.vault.seal_secret(secret, bound_to=f"ipn|{merchant_id}")

    await ensure_demo(gateway.database, demo, seal_ipn_secret=seal)
