"""Every block of the documentation that a reader copies: run in the order of its page, in the language that it names.

A block prints what the page shows below it, or what `PRINTS` says of it, or nothing. A block that is not run here is
in `RUN_ELSEWHERE`, with the reason.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.documents import PAGES, PYTHON, ROOT, SHELL, Block, read_blocks, run_shell
from tests.support.gateways import Gateways, RunningGateway
from tests.support.processes import SOURCE
from typer.core import TyperGroup
from typer.main import get_command

from tollhouse.cli.main import app
from tollhouse.client import Client
from tollhouse.ipn.message.signature import sign_status, sign_webhook

if TYPE_CHECKING:
    from pathlib import Path

#: Why the tests run a block in another way than by copying it, by page and first line.
RUN_ELSEWHERE = {
    ("README.md", "make run     # start the gateway; needs Python 3.11, make and, the first time, the network"): (
        "starts what these tests run against, and these tests; tests/acceptance/test_start.py runs make"
    ),
    ("README.md", ".venv/bin/tollhouse listen --forward-to http://127.0.0.1:3000/ipn"): (
        "runs until it is stopped: tests/integration/ipn/test_listen.py"
    ),
    ("docs/reference/ipn.md", "tollhouse listen --forward-to http://127.0.0.1:3000/ipn"): (
        "runs until it is stopped: tests/integration/ipn/test_listen.py"
    ),
    ("docs/reference/ipn.md", "tollhouse trigger sale --to http://127.0.0.1:3000/ipn"): (
        "needs a listener: tests/integration/ipn/test_trigger.py"
    ),
    ("docs/reference/benchmarks.md", "make bench"): "takes minutes, and measures the machine",
    (
        "docs/reference/benchmarks.md",
        "git worktree add ../earlier COMMIT   # and its environment: make -C ../earlier install",
    ): ("takes minutes, and measures the machine: tests/unit/bench/test_compare.py"),
    ("docs/explanation/ledger.md", "python -m bench.books --transactions 1000000"): "takes minutes",
    ("docs/how-to/run-as-separate-processes.md", "*"): (
        "processes that run until they are stopped: tests/acceptance/test_stop.py, test_worker.py and test_restore.py"
    ),
    ("docs/how-to/restore-a-backup.md", "*"): "needs a bank that goes on: tests/acceptance/test_restore.py",
}


@dataclass(frozen=True, slots=True)
class Reader:
    """A reader of the pages in a directory of their own, beside a gateway that runs."""

    gateway: RunningGateway
    directory: Path
    client: Client

    def adapt(self, text: str) -> str:
        """Put this reader's key and the address of this gateway into a text."""
        text = text.replace("http://127.0.0.1:8080", self.gateway.url).replace("https://pay.example", self.gateway.url)
        return text.replace("YOUR_API_KEY", self.gateway.demo["apiKey"]).replace("/srv/pay", ".tollhouse")


def is_status(status: str, **more: Any) -> Callable[[str], object]:
    """Check the payment of an answer."""
    return lambda printed: json.loads(printed)["payment"].items() >= {"status": status, **more}.items()


def is_advanced(printed: str) -> object:
    """Check the answer of a clock that was moved."""
    told = json.loads(printed)
    return told["advanced"].startswith("P") and told["ahead"].startswith("P")


#: A command of the program in a block.
PROGRAM = re.compile(r"(?:^|[ /])tollhouse ([a-z].*)")

#: A callback, as the variables of the pages name its parts.
SECRET, BODY, AT = "test-key", b'{"payment": {}}', int(time.time())
CALLBACK = {
    "secret": SECRET,
    "id": "evt_7",
    "timestamp": str(AT),
    "transaction_id": "12345",
    "status": "success",
}

#: What a block prints, by page and the beginning of the block.
PRINTS: dict[tuple[str, str], Callable[[str], object]] = {
    ("README.md", "REQUEST_ID="): is_status("success", amount=19.99),
    ("README.md", "ACCOUNT="): is_status("success", mode="sale"),
    ("README.md", "PENDING="): lambda printed: "/3ds/" in printed,
    ("README.md", "ORDER="): is_status("success"),
    ("README.md", "curl http://127.0.0.1:8080/stage/clock"): is_advanced,
    (
        "docs/how-to/use-the-virtual-clock.md",
        "curl http://127.0.0.1:8080/stage/clock -H 'Authorization: YOUR_API_KEY' \\",
    ): (is_advanced),
    ("docs/how-to/use-the-virtual-clock.md", "curl"): lambda printed: (
        json.loads(printed).keys() == {"now", "ahead", "next"}
    ),
    ("docs/how-to/use-the-payment-page.md", "curl"): lambda printed: "/pay/" in json.loads(printed)["url"],
    ("docs/how-to/use-the-python-client.md", ".venv"): lambda printed: printed.split()[::3] == ["success", "success"],
    ("docs/reference/ipn.md", "# $secret"): lambda printed: (
        printed.strip() == sign_webhook([SECRET], webhook_id="evt_7", timestamp=AT, body=BODY)
    ),
    ("docs/reference/ipn.md", "printf 'whsec_"): lambda printed: printed == "whsec_dGVzdC1rZXk=\n",
    ("docs/reference/ipn.md", "printf '%s'"): lambda printed: (
        printed.strip() == sign_status(SECRET, "12345", "success")
    ),
    ("docs/explanation/ledger.md", "tollhouse ledger verify"): lambda printed: "USD" in printed,
}


#: Names that the Python of a page takes for granted.
DEMO = (
    "import json, os",
    "demo = json.load(open('.tollhouse/demo.json'))",
    "key, url, secret = demo['apiKey'], demo['baseUrl'], demo['ipnSecret']",
)
PRELUDES = {
    "docs/how-to/use-the-virtual-clock.md": (
        *DEMO,
        "from tollhouse.client import Client, card, price",
        "source = card('4024007179366348', month='12', year='30', cvv='009')",
        "item = {'siteId': demo['siteId'], 'title': 'Socks', 'price': [price('1.00', 'USD')]}",
        "buyer = {'externalId': 'clock', 'firstName': 'Jane', 'lastName': 'Smith', 'ip': '203.0.113.45'}",
        "paid = Client(url, key).pay(source=source, sku=item, consumer=buyer)",
        "transaction_id = paid.payment.transaction_id",
    ),
    "docs/how-to/use-the-python-client.md": (
        *DEMO,
        "import time, uuid",
        "from types import SimpleNamespace",
        "from tollhouse.client import Client, card, price",
        "from tollhouse.ipn.message.signature import sign_status, sign_webhook",
        "order, change = (SimpleNamespace(request_id=str(uuid.uuid4())) for _ in range(2))",
        "source = card('4024007179366348', month='12', year='30', cvv='009')",
        "monthly = [price('9.99', 'EUR'), price('9.99', 'EUR', offset='1m', repeat=True)]",
        "item = {'siteId': demo['siteId'], 'title': 'Socks', 'price': monthly}",
        "buyer = {'externalId': 'user-7', 'firstName': 'Jane', 'lastName': 'Smith', 'ip': '203.0.113.45'}",
        "signing_up = Client(url, key)",
        "begun = signing_up.pay(source=source, sku=item, consumer=buyer)",
        "subscription_id = begun.subscription.id",
        "token_id = signing_up.tokenize('4111111111111111', month='12', year='30', cvv='009').token",
        "told = {'transactionId': '1', 'orderId': '1', 'status': 'success', 'code': '0'}",
        "body = json.dumps({'payment': told}).encode()",
        "at = int(time.time())",
        "headers = {'X-Signature': sign_status(secret, '1', 'success'), 'webhook-id': 'evt_1',",
        "    'webhook-timestamp': str(at),",
        "    'webhook-signature': sign_webhook([secret], webhook_id='evt_1', timestamp=at, body=body)}",
    ),
}

#: What holds after the Python of a page has run.
SAYS = {
    "README.md": ("assert answer.payment.status == 'success'",),
    "docs/how-to/use-the-virtual-clock.md": ("assert timeline['orderId'] == paid.payment.order_id",),
    "docs/how-to/use-the-python-client.md": (
        "assert client.subscription(subscription_id).status == 'active'",
        "assert answer.payment.is_approved and answer.payment.mode == 'auth'",
        "assert ipn.payment.transaction_id == '1'",
    ),
    "docs/reference/ipn.md": (
        "from tollhouse.ipn.message.signature import sign_status",
        "verify('test-key', sign_status('test-key', '12345', 'success'), '12345', 'success')",
    ),
}


@pytest.fixture
def reader(gateways: Gateways) -> Iterator[Reader]:
    """A reader who started the gateway in a directory that looks like a clone of the repository."""
    gateway = gateways.share("examples")
    directory = gateway.data_directory.parent / "reader"
    if not directory.exists():
        directory.mkdir()
        for name in (".venv", "examples", "src"):
            (directory / name).symlink_to(ROOT / name)
        (directory / ".tollhouse").symlink_to(gateway.data_directory)
    with Client(gateway.url, gateway.demo["apiKey"]) as client:
        yield Reader(gateway, directory, client)


def is_run_elsewhere(block: Block) -> bool:
    """Tell whether a block has a reason not to be run here."""
    return (block.page, block.first_line) in RUN_ELSEWHERE or (block.page, "*") in RUN_ELSEWHERE


def is_run_here(page: Path) -> bool:
    """Tell whether a page has a block that is run here."""
    return any(block.is_run and not is_run_elsewhere(block) for block in read_blocks(page))


def test_reasons_are_about_blocks() -> None:
    """Every reason not to run a block names one that is there."""
    blocks = [block for page in PAGES for block in read_blocks(page)]
    known = {(block.page, block.first_line) for block in blocks} | {(block.page, "*") for block in blocks}
    assert RUN_ELSEWHERE.keys() - known == set()


@pytest.mark.parametrize("page", [page for page in PAGES if is_run_here(page)], ids=lambda page: page.stem)
def test_blocks_of_a_page_do_what_it_says(reader: Reader, page: Path) -> None:
    """Every block runs as it stands, one after the other, and prints what the page says."""
    blocks = [block for block in read_blocks(page) if not is_run_elsewhere(block)]
    variables = prepare(reader)
    commands = [block for block in blocks if block.kind in SHELL]
    texts = [reader.adapt(block.body) for block in commands]
    texts = [text.partition("\n")[0].removeprefix("$ ") if text.startswith("$ ") else text for text in texts]
    printed = run_shell(texts, directory=reader.directory, variables=variables) if texts else []
    faults = [
        (block.first_line, text)
        for block, text in zip(commands, printed, strict=True)
        if not is_right(blocks, block, text)
    ]
    assert faults == []
    run_programs(reader, [block for block in blocks if block.kind in PYTHON], variables)


def is_right(blocks: list[Block], block: Block, printed: str) -> object:
    """Tell whether a block has printed what it should have."""
    if block.kind == "console":
        return printed == block.body.partition("\n")[2]
    follower = next(iter(blocks[blocks.index(block) + 1 :]), None)
    if follower is not None and follower.kind == "text":
        return printed == follower.body
    checks = [check for (page, begin), check in PRINTS.items() if page == block.page and block.body.startswith(begin)]
    return checks[0](printed) if checks else printed == ""


def prepare(reader: Reader) -> dict[str, str]:
    """Do what the pages take for granted, and return the variables of the shell that blocks are typed into."""
    path = os.pathsep.join([str(ROOT / ".venv" / "bin"), os.environ["PATH"]])
    shop = {"BASE_URL": reader.gateway.url, "API_KEY": reader.gateway.demo["apiKey"]}
    (reader.directory / "body.json").write_bytes(BODY)
    (reader.directory / "eurofxref-daily.xml").write_text(build_rates())
    return {"PATH": path, "PYTHONPATH": str(SOURCE), **shop, **CALLBACK}


def build_rates() -> str:
    """Return the bank's rates of the day of the page: the newest that we have, each a little higher."""
    names, rates = (ROOT / "src/tollhouse/rates/data/eurofxref.csv").read_text().splitlines()[:2]
    quoted = [(name.strip(), rate.strip()) for name, rate in zip(names.split(","), rates.split(","), strict=True)]
    cubes = "".join(f"<Cube currency='{name}' rate='{rate}1'/>" for name, rate in quoted[1:] if name)
    return textwrap.dedent(f"""\
        <?xml version="1.0" encoding="UTF-8"?>
        <gesmes:Envelope xmlns:gesmes="http://www.gesmes.org/xml/2002-08-01"
            xmlns="http://www.ecb.int/vocabulary/2002-08-01/eurofxref">
        <Cube><Cube time='2026-11-20'>{cubes}</Cube></Cube>
        </gesmes:Envelope>
        """)


def run_programs(reader: Reader, blocks: list[Block], variables: Mapping[str, str]) -> None:
    """Run the Python of a page in one program, under the names that the page takes for granted."""
    if not blocks:
        return
    program = "\n".join([*PRELUDES.get(blocks[0].page, ()), *(block.body for block in blocks)])
    program += "\n" + "\n".join(SAYS[blocks[0].page])
    ran = subprocess.run(
        [sys.executable, "-c", reader.adapt(program)],
        cwd=reader.directory,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr


def test_the_banner_pays(reader: Reader) -> None:
    """The first command that the gateway prints pays as it stands."""
    command = reader.gateway.log.partition("First payment:\n")[2].partition("\nThe same values are in")[0]
    [printed] = run_shell([command], directory=reader.directory)
    assert json.loads(printed)["payment"]["status"] == "success"


def test_every_command_of_the_program_exists() -> None:
    """Blocks that are run in another way name commands and options that there are."""
    lines = [
        line for page in PAGES for block in read_blocks(page) if block.kind in SHELL for line in block.body.splitlines()
    ]
    calls = [match for line in lines if (match := PROGRAM.search(line))]
    assert len(calls) > 10
    for call in calls:
        command: Any = get_command(app)
        words = call[1].partition("#")[0].split()
        while words and isinstance(command, TyperGroup):
            assert words[0] in command.commands, call[0]
            command = command.commands[words.pop(0)]
        options = {name for parameter in command.params for name in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, call[0]
