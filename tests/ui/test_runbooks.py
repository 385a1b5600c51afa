"""Runbooks as HTML, with the labels of an alert in their queries."""

import re
from html import unescape
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from exporter.ui.runbooks import placeholders, read_runbooks, render
from tests.made_up import RUNBOOK, crowd, serving_frontend

SHIPPED = read_runbooks()


def blocks(html: str) -> list[str]:
    return [unescape(block) for block in re.findall(r"<pre><code[^>]*>(.*?)</code></pre>", html, re.DOTALL)]


class TestRendering:
    def test_each_query_is_in_a_block_of_its_own_with_its_comment(self) -> None:
        assert blocks(render(RUNBOOK, {})) == [
            'up{account="ACCOUNT"}',
            '# of this campaign\ncampaign_info{account="ACCOUNT", campaign="CAMPAIGN"}',
        ]

    def test_a_query_that_goes_on_indented_stays_whole(self) -> None:
        text = "```promql\nsum(\n  up\n)\nup\n```\n"

        assert blocks(render(text, {})) == ["sum(\n  up\n)", "up"]

    def test_other_blocks_stay_as_they_are(self) -> None:
        assert blocks(render('```sh\ncheck "ACCOUNT"\nls\n```\n', {"account": "a"})) == ['check "ACCOUNT"\nls\n']

    def test_labels_are_filled_in(self) -> None:
        filled = blocks(render(RUNBOOK, {"account": "acme", "campaign": "june"}))

        assert filled[1] == '# of this campaign\ncampaign_info{account="acme", campaign="june"}'

    @pytest.mark.parametrize(
        ("value", "escaped"),
        [
            ('a"} or up{x="', r"a\"} or up{x=\""),
            ("back\\slash", r"back\\slash"),
            ("two\nlines", r"two\nlines"),
            ("</code><script>", "</code><script>"),
            ("CAMPAIGN", "CAMPAIGN"),
        ],
    )
    def test_a_label_is_never_more_than_a_text_of_the_query(self, value: str, escaped: str) -> None:
        html = render(RUNBOOK, {"account": value})

        assert blocks(html)[0] == f'up{{account="{escaped}"}}'
        assert "<script" not in html

    def test_html_in_a_runbook_is_text(self) -> None:
        assert "&lt;b&gt;first&lt;/b&gt;" in render(RUNBOOK, {})

    def test_what_the_page_fills_in_itself_is_not_asked_for(self) -> None:
        assert "Put the alert" not in render(RUNBOOK, {})
        assert placeholders(RUNBOOK) == ["account", "campaign"]
        assert placeholders("# Down\n") == []

    def test_a_table_is_one(self) -> None:
        assert "<td>b</td>" in render("| a |\n| --- |\n| b |\n", {})


class TestShipped:
    def test_they_are_the_documents_of_the_package_by_their_names(self, tmp_path: Path) -> None:
        (tmp_path / "CampaignStalled.md").write_text("Ask why, ✓.", encoding="utf-8")
        (tmp_path / "picture.png").write_bytes(b"\xff")

        assert read_runbooks(tmp_path) == {"CampaignStalled": "Ask why, ✓."}

    def test_the_package_has_those_that_are_in_the_documentation(self) -> None:
        documented = Path(__file__).parents[2] / "docs" / "runbooks"

        assert SHIPPED.keys() == {file.stem for file in documented.glob("*.md")}

    def test_where_there_are_none_there_are_none(self, tmp_path: Path) -> None:
        assert read_runbooks(tmp_path / "missing") == {}

    @pytest.mark.parametrize("alert", SHIPPED)
    def test_every_query_is_whole_and_has_no_placeholder_left(self, alert: str) -> None:
        html = render(SHIPPED[alert], {"account": "acme", "campaign": "june"})

        assert "ACCOUNT" not in html
        assert "CAMPAIGN" not in html
        for query in blocks(html):
            assert all(query.count(left) == query.count(right) for left, right in ("()", "{}", "[]"))


class TestOverHttp:
    async def test_the_page_looks_like_the_others_and_fills_in_its_address(self) -> None:
        query = {"account": 'ac"me\u202e', "campaign": "<b>"}
        async with (
            serving_frontend(crowd(1).overview) as address,
            aiohttp.ClientSession(address) as session,
            session.get("/runbooks/CampaignStalled", params=query) as answer,
        ):
            document = await answer.text()

        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self';")
        assert blocks(document)[0] == 'up{account="ac\\"me\N{REPLACEMENT CHARACTER}"}'
        assert '<input name="campaign" value="&lt;b&gt;"' in document
        assert '<link rel="stylesheet" href="../static/' in document
        assert "<script" not in document

    async def test_an_unchanged_runbook_is_not_sent_again(self) -> None:
        async with serving_frontend(crowd(1).overview) as address, aiohttp.ClientSession(address) as session:
            async with session.get("/runbooks/CampaignStalled") as first:
                tag = {"If-None-Match": first.headers["ETag"]}
            async with session.get("/runbooks/CampaignStalled", headers=tag) as again:
                assert again.status == 304
            async with session.get("/runbooks/CampaignStalled?account=a", headers=tag) as other:
                assert other.status == 200

    async def test_odd_addresses_are_no_error(self) -> None:
        async with serving_frontend(crowd(1).overview) as address, aiohttp.ClientSession(address) as session:
            for query in ("account=%00%ff%ed%a0%80", f"campaign={'a' * 5000}", "account&account=b&&="):
                async with session.get(URL(f"/runbooks/CampaignStalled?{query}", encoded=True)) as answer:
                    assert answer.status == 200
                    assert len(await answer.text()) < 10_000
