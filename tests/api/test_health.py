"""What whoever watches over the process asks it."""

from __future__ import annotations

import re

from tests.support.webshop import WebShop, card


async def read_metrics(shop: WebShop) -> dict[str, float]:
    """Read all samples, by name and labels."""
    answer = await shop.get("/metrics", key="")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


async def test_healthz_needs_no_database(shop: WebShop) -> None:
    """`/healthz` says that the process runs, without a key and without the database."""
    answer = await shop.get("/healthz", key="")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    await shop.gateway.database.close()
    assert (await shop.get("/healthz", key="")).status_code == 200


async def test_readyz_is_503_without_the_database(shop: WebShop) -> None:
    """`/readyz` says whether payments are possible, which need the database."""
    answer = await shop.get("/readyz", key="")
    assert (answer.status_code, answer.json()) == (200, {"status": "ready"})
    await shop.gateway.database.close()
    answer = await shop.get("/readyz", key="")
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.json()["errors"] == {}


async def test_charset_is_named_once(shop: WebShop) -> None:
    """A text names its character set once, because strict readers reject a header that names it twice."""
    pages = ("/", "/docs", "/portal/sign-in", "/portal/nowhere", "/stage/inbox", "/pay/nowhere", "/3ds/nowhere")
    files = ("/static/tollhouse.css", "/docs/docs.css", "/portal/portal.css", "/stage/stage.css", "/stage/inbox.js")
    for path in (*pages, *files):
        answer = await shop.client.get(path)
        kind, _, charset = answer.headers["content-type"].partition("; ")
        assert (kind.startswith("text/"), charset) == (True, "charset=utf-8"), path


async def test_latency_is_measured_by_route(shop: WebShop) -> None:
    """Requests are counted and timed by method, route and status; a route is a template and never an ID."""
    await shop.pay()
    await shop.pay({})
    await shop.tokenize()
    await shop.get("/payment/1")
    await shop.get("/payment/2")
    await shop.get("/nowhere/4024007179366348")
    await shop.client.delete("/payment")
    counts = {
        name.partition("{")[2].rstrip("}"): value
        for name, value in (await read_metrics(shop)).items()
        if name.startswith("tollhouse_request_seconds_count")
    }
    assert counts == {
        'method="POST",route="/payment",status="201"': 1,
        'method="POST",route="/payment",status="400"': 1,
        'method="POST",route="/tokenize",status="201"': 1,
        'method="GET",route="/payment/{transactionId}",status="404"': 2,
        'method="GET",route="unknown",status="404"': 1,
        'method="DELETE",route="unknown",status="405"': 1,
    }
    sums = [
        value for name, value in (await read_metrics(shop)).items() if name.startswith("tollhouse_request_seconds_sum")
    ]
    assert all(0 < value < 10 for value in sums)


async def test_clients_cannot_add_series(shop: WebShop) -> None:
    """Methods and paths of clients add no series."""
    for number in range(20):
        await shop.client.request(f"MADEUP{number}", f"/made/up/{number}")
    counts = [name for name in await read_metrics(shop) if "_count{" in name]
    assert len(counts) == 1
    assert "MADEUP" not in "".join(counts)


async def test_outcomes_are_counted(shop: WebShop) -> None:
    """Final payments are counted by mode, status and code."""
    for _ in range(2):
        await shop.pay()
    await shop.pay(shop.payment({"type": "card"} | card("decline_51")))
    await shop.pay(shop.payment({"type": "card", "3ds": True} | card("challenge")))
    body = shop.payment()
    for _ in range(2):
        await shop.pay(body, headers={"X-Request-ID": "same"})
    outcomes = {
        name: value
        for name, value in (await read_metrics(shop)).items()
        if name.startswith("tollhouse_payments_total{")
    }
    assert outcomes == {
        'tollhouse_payments_total{code="0",mode="sale",status="success"}': 3,
        'tollhouse_payments_total{code="5051",mode="sale",status="fail"}': 1,
    }


async def test_outbox_is_measured(shop: WebShop) -> None:
    """The number and age of waiting callbacks and the number of unknown outcomes are read from the database."""
    empty = await read_metrics(shop)
    assert (empty["tollhouse_outbox_events"], empty["tollhouse_outbox_oldest_seconds"]) == (0, 0)
    for _ in range(2):
        await shop.pay()
    await shop.execute(
        "update event set created_at = created_at - interval '90 seconds' where position = "
        "(select min(position) from event)"
    )
    await shop.pay(shop.payment({"type": "card"} | card("lost_answer")))
    samples = await read_metrics(shop)
    assert samples["tollhouse_outbox_events"] == 2
    assert 90 <= samples["tollhouse_outbox_oldest_seconds"] < 120
    assert samples["tollhouse_attempts_unresolved"] == 1


async def test_metrics_work_without_the_database(shop: WebShop) -> None:
    """While the database is unavailable the metrics of the process are complete."""
    await shop.pay()
    await shop.gateway.database.close()
    samples = await read_metrics(shop)
    assert samples['tollhouse_payments_total{code="0",mode="sale",status="success"}'] == 1
    queues = {name for name in samples if name.startswith("tollhouse_write_queue_depth{")}
    assert {re.sub(r'.*queue="(.*)".*', r"\1", name) for name in queues} == {"begin", "finish", "tokens"}


async def test_metrics_contain_no_ids(shop: WebShop) -> None:
    """The metrics contain no card number and no ID."""
    answer = (await shop.pay()).json()
    text = (await shop.get("/metrics", key="")).text
    for secret in ("4024007179366348", answer["payment"]["transactionId"], answer["consumer"]["id"]):
        assert secret not in text
