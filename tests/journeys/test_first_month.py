"""A customer's first month, from sign-up to the invoice."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import httpx

from tests.journeys.books import until
from tests.journeys.callers import (
    NANOS,
    RATE_HEADERS,
    Caller,
    count,
    counted_prompt,
    price,
    request_id,
)
from tests.journeys.laboratory import WELCOME_NANOS, Laboratory
from tests.journeys.members import Member
from tests.scripts import PROMPT_TOKENS, Script

NAME = "First Month Ltd"


def test_first_month_from_sign_up_to_the_invoice(lab: Laboratory) -> None:
    lab.stack.start_worker()
    member = lab.sign_up("dora@example.com", NAME)
    assert "data-secret" not in member.pages.get("/welcome").text, "a key is shown once"
    story = Story(lab, member)
    story.tops_up()
    story.calls_and_is_charged_to_the_nano()
    story.streams_and_is_charged_before_done()
    story.hangs_up_and_pays_for_what_came()
    story.runs_out_of_money()
    story.hits_the_requests_limit()
    story.hits_the_tokens_limit_and_upgrades()
    story.sees_all_of_it_as_usage()
    story.gets_an_invoice_of_it()
    lab.prove()


class Story:
    """The chapters, in order; each leaves its requests' ids for the invoice."""

    def __init__(self, lab: Laboratory, member: Member) -> None:
        self.lab = lab
        self.member = member
        self.books = lab.books
        self.organization = lab.books.organization(NAME)
        self.caller: Caller = lab.caller(member.first_key)
        self.spent = 0
        self.money = WELCOME_NANOS

    def check(self, response: httpx.Response, charge: int) -> None:
        """The wallet, the ledger and the record agree on this charge, to the nano."""
        self.spent += charge
        assert self.books.available(self.organization) == self.money - self.spent
        assert self.books.charged(request_id(response)) == charge
        assert self.books.record(request_id(response))["charge_nanos"] == charge

    def patiently(self, script: Script, **options: object) -> httpx.Response:
        """Ask again while there is a limit in the way, as official clients do."""
        while (answer := self.caller.ask(script, **options)).status_code == 429:  # type: ignore[arg-type]
            time.sleep(int(answer.headers["retry-after-ms"]) / 1000)
        return answer

    # --- the chapters ---------------------------------------------------------------------------

    def tops_up(self) -> None:
        assert self.books.available(self.organization) == WELCOME_NANOS
        self.lab.stack.manage("top_up", NAME, "0.02", "--reason", "bank transfer 4711")
        self.money += 20_000_000
        assert self.books.available(self.organization) == self.money

    def calls_and_is_charged_to_the_nano(self) -> None:
        assert self.member.pages.get("/welcome/first-request").json() == {"received": False}
        answer = self.caller.ask(Script(chunks=5))
        assert answer.status_code == 200, answer.text
        charge = price("qwen-plus", PROMPT_TOKENS, 5)
        self.check(answer, charge)
        usage = answer.json()["usage"]
        assert (usage["prompt_tokens"], usage["completion_tokens"]) == (PROMPT_TOKENS, 5)
        assert usage["cost"] == charge / 10**9
        assert set(RATE_HEADERS) <= set(answer.headers)
        assert answer.headers["x-ratelimit-limit-requests"] == "60"
        assert answer.headers["x-ratelimit-limit-tokens"] == "10000"
        assert self.member.pages.get("/welcome/first-request").json()["received"]
        receipt = self.member.pages.get(f"/requests/{request_id(answer)}")
        assert receipt.status_code == 200

    def streams_and_is_charged_before_done(self) -> None:
        options = {"stream_options": {"include_usage": True}}
        with self.caller.stream(Script(chunks=8), "qwen-max", **options) as stream:
            while not stream.is_done:
                stream.take(next(stream.lines))
            # Read at once: what was shown as complete is in the books already.
            self.check(stream.response, price("qwen-max", PROMPT_TOKENS, 8))
        assert stream.text == "".join(f"w{index} " for index in range(8))
        assert stream.usage is not None
        assert stream.usage["cost"] == price("qwen-max", PROMPT_TOKENS, 8) / 10**9
        assert set(RATE_HEADERS) <= set(stream.response.headers)

    def hangs_up_and_pays_for_what_came(self) -> None:
        script = Script(chunks=50, cut_after=4, ending="silence")
        with self.caller.stream(script) as stream:
            stream.read(4)
        left_at = time.monotonic()
        seen = self.lab.upstream.wait_for(lambda entry: entry.disconnected_at is not None)
        assert seen.disconnected_at is not None
        assert seen.disconnected_at - left_at < 1
        record = self.books.record(stream.request_id)
        assert record["billing_reason"] == "client_gone"
        prompt, output = counted_prompt(script.prompt()), count("w0 w1 w2 w3 ")
        assert (record["input_tokens"], record["output_tokens"]) == (prompt, output)
        self.check(stream.response, price("qwen-plus", prompt, output))

    def runs_out_of_money(self) -> None:
        calls_before = len(self.lab.upstream.received)
        answer = self.caller.ask(Script(), "qwen-max", max_tokens=8_192)
        assert answer.status_code == 402, answer.text
        error = answer.json()["error"]
        assert (error["type"], error["code"]) == ("insufficient_quota", "insufficient_quota")
        # What is left pays for the longest that the prompt can be, and so many tokens after it.
        prompt, output = NANOS["qwen-max"]
        prompt_tokens_max = len(answer.request.content) + 64
        affordable = (self.money - self.spent - prompt_tokens_max * prompt) // output
        assert f"{affordable:,} output tokens" in error["message"]
        assert len(self.lab.upstream.received) == calls_before
        assert self.books.available(self.organization) == self.money - self.spent
        assert self.books.transfers(request_id(answer)) == []
        again = self.caller.ask(Script(), "qwen-max", max_tokens=affordable)
        assert again.status_code == 200, again.text
        self.check(again, price("qwen-max", PROMPT_TOKENS, 3))

    def hits_the_requests_limit(self) -> None:
        answers: list[httpx.Response] = []
        while len(answers) < 70:
            answers.append(self.caller.ask(Script(chunks=1), "qwen-turbo", max_tokens=1))
            if answers[-1].status_code == 429:
                break
        *admitted, refused = answers
        assert refused.status_code == 429, "seventy requests, and none refused"
        self.spent += len(admitted) * price("qwen-turbo", PROMPT_TOKENS, 1)
        self.check_refused(refused, "requests")
        calls_before = len(self.lab.upstream.received)
        for _ in range(5):
            more = self.caller.ask(Script(chunks=1), "qwen-turbo", max_tokens=1)
            if more.status_code == 200:  # a second went by
                self.spent += price("qwen-turbo", PROMPT_TOKENS, 1)
                calls_before += 1
            else:
                assert int(more.headers["retry-after-ms"]) <= 1_000, "rejected calls cost nothing"
        assert len(self.lab.upstream.received) == calls_before
        self.check(
            self.patiently(Script(chunks=1), model="qwen-turbo", max_tokens=1),
            price("qwen-turbo", PROMPT_TOKENS, 1),
        )

    def check_refused(self, refused: httpx.Response, kind: str) -> None:
        error = refused.json()["error"]
        assert error["type"] == "rate_limit_error"
        assert f"{kind} per minute" in error["message"]
        assert set(RATE_HEADERS) <= set(refused.headers)
        milliseconds = int(refused.headers["retry-after-ms"])
        assert 0 < milliseconds <= 60_000
        assert int(refused.headers["retry-after"]) == max(1, -(-milliseconds // 1000))
        assert self.books.transfers(request_id(refused)) == []
        assert self.books.available(self.organization) == self.money - self.spent

    def hits_the_tokens_limit_and_upgrades(self) -> None:
        big = Script(usage={"prompt_tokens": 6_000, "completion_tokens": 1})
        self.check(
            self.patiently(big, model="qwen-turbo", max_tokens=1), price("qwen-turbo", 6_000, 1)
        )
        long = {"model": "qwen-turbo", "max_tokens": 8_192}
        refused = self._refused_for_tokens(long)
        self.check_refused(refused, "tokens")
        self.lab.stack.manage("set_plan", NAME, "pro")
        answer = until(
            lambda: self._on("300", self.caller.ask(Script(chunks=2), **long)),  # type: ignore[arg-type]
            "the plan just chosen holds",
        )
        assert answer.headers["x-ratelimit-limit-tokens"] == "100000"
        if answer.status_code == 429:  # the bucket fills ten times as fast now
            answer = self.patiently(Script(chunks=2), **long)
        self.check(answer, price("qwen-turbo", PROMPT_TOKENS, 2))

    def _refused_for_tokens(self, long: dict[str, object]) -> httpx.Response:
        """The tokens' limit, once the requests' one is out of the way."""
        while True:
            refused = self.caller.ask(Script(chunks=2), **long)  # type: ignore[arg-type]
            assert refused.status_code == 429, refused.text
            if "tokens per minute" in refused.json()["error"]["message"]:
                return refused
            time.sleep(int(refused.headers["retry-after-ms"]) / 1000)

    @staticmethod
    def _on(limit: str, answer: httpx.Response) -> httpx.Response | None:
        return answer if answer.headers["x-ratelimit-limit-requests"] == limit else None

    def sees_all_of_it_as_usage(self) -> None:
        self.lab.wait_settled(seconds=20)

        def rolled_up() -> bool:
            hours, days = (
                self.books.rows(
                    f"SELECT coalesce(sum(charge_nanos), 0)::bigint AS charge FROM {table}"
                    " WHERE organization_id = %(id)s",
                    id=self.organization,
                )[0]["charge"]
                for table in ("billing_usagehour", "billing_usageday")
            )
            return bool(hours == days == self.spent)

        until(rolled_up, "the rollups hold everything spent", seconds=30)
        assert self.member.pages.get("/usage").status_code == 200

    def gets_an_invoice_of_it(self) -> None:
        month = datetime.now(UTC).strftime("%Y-%m")
        closed = self.lab.stack.manage(
            "close_month", month, "--allow-current", "--organization", NAME
        )
        (invoice,) = closed["invoices"]
        assert closed["refused_organizations"] == []
        assert invoice["total_nanos"] == self.spent
        assert self.books.available(self.organization) == self.money - self.spent
        page = self.member.pages.get(f"/billing/invoices/{invoice['number']}")
        assert page.status_code == 200
        assert "qwen-turbo" in page.text
