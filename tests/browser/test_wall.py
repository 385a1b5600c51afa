"""The page in a real browser: what is painted, what changes by itself, and what keyboards and screen readers get."""

import json
import re
import socket
import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from exporter.campaign.state import CampaignState
from exporter.simulator import ManualClock, demo, serving
from tests.browser.conftest import Opener, Tab
from tests.made_up import OSVI, WORKING, MadeUp, RealClock, behind_proxy, crowd, serving_frontend
from tests.process import answers, exporter, until

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Acme:
    """A handful of campaigns, at real time."""

    def __init__(self) -> None:
        self.made = MadeUp(RealClock())
        self.account = self.made.account("acme")
        self.june, self.july, self.august = (self.add(name) for name in ("June", "July", "August"))

    def add(self, name: str) -> CampaignState:
        return self.account.says(self.account.add(name.lower()), **WORKING, name=name)

    def says(self, campaign: CampaignState, **changes: Any) -> None:
        self.account.says(campaign, **WORKING | changes)


async def test_the_first_paint_needs_no_script(tab: Opener) -> None:
    made = crowd(250, RealClock())
    async with serving_frontend(made.overview) as address:
        browsing = await tab(java_script_enabled=False, frozen=False)
        page = browsing.page
        await page.goto(address)
        await expect(page.locator("tbody")).to_have_count(100)
        await expect(page.get_by_role("status")).to_have_text("250 campaigns")

        await page.get_by_role("link", name="Next").click()
        await expect(page.get_by_text("Page 2 of 3")).to_be_visible()

        await page.get_by_role("columnheader", name="Campaign").get_by_role("link").click()
        await expect(page.get_by_role("columnheader", name="Campaign")).to_have_attribute("aria-sort", "ascending")
        assert (await browsing.names())[:3] == ["Campaign 0", "Campaign 1", "Campaign 10"]

        await page.get_by_label("Account").select_option("account-d")
        await page.get_by_label("Search").fill("campaign-0000")
        await page.get_by_role("button", name="Apply").click()
        await expect(page.get_by_role("status")).to_have_text("2 of 250 campaigns")
        assert await browsing.names() == ["Campaign 3", "Campaign 7"]
        await expect(page.get_by_label("Account")).to_have_value("account-d")
        await expect(page.get_by_role("columnheader", name="Campaign")).to_have_attribute("aria-sort", "ascending")


async def test_a_row_changes_by_itself_and_nothing_else_is_touched(tab: Opener) -> None:
    acme = Acme()
    async with serving_frontend(acme.made.overview) as address:
        browsing = await tab()
        page = browsing.page
        await browsing.open(address)
        row = page.locator("tbody", has_text="June")
        await expect(row.locator(".calls b")).to_have_text("8")
        await page.evaluate(
            """() => {
                window.rows = [...document.querySelectorAll("tbody")];
                window.touched = [];
                new MutationObserver((changes) => {
                    const targets = changes.map((change) => change.target).filter((node) => !node.closest("time"));
                    window.touched.push(...targets.map((node) => node.closest("tbody")?.innerText ?? "around"));
                }).observe(document.body, { subtree: true, childList: true, attributes: true });
                document.querySelector("tbody a, #filters input").focus();
            }"""
        )

        acme.says(acme.june, active_calls=3.0)
        await until(lambda: changed(browsing, row.locator(".calls b"), "3"))

        assert await page.evaluate("window.rows.every((row) => row.isConnected)")
        touched = await page.evaluate("[...new Set(window.touched)]")
        assert all("June" in text for text in touched), touched


async def changed(browsing: Tab, locator: Any, text: str) -> bool:
    await browsing.refresh()
    return bool(await locator.inner_text() == text)


async def test_an_unchanged_page_is_not_sent_again(tab: Opener) -> None:
    acme = Acme()
    async with serving_frontend(acme.made.overview) as address:
        browsing = await tab()
        await browsing.open(address)

        assert await browsing.refresh() == 304
        acme.says(acme.june, attempts=5.0)
        assert await until(lambda: was_sent(browsing))


async def was_sent(browsing: Tab) -> bool:
    return await browsing.refresh() == 200


async def test_a_change_in_the_simulator_shows_without_a_reload(tab: Opener, tmp_path: Path) -> None:
    scenario = demo(ManualClock(1_780_000_000.0))
    async with serving(scenario.world) as servers:
        configuration = scenario.configuration(servers) | {"poll": {"active_interval": "1s", "idle_interval": "1s"}}
        (tmp_path / "campaign-exporter.yml").write_text(json.dumps(configuration), encoding="utf-8")
        async with exporter(directory=tmp_path) as (_, address):
            await until(lambda: answers(f"{address}/-/ready"))
            browsing = await tab()
            await browsing.open(address, "/?q=june-policy-renewals")
            badge = browsing.page.locator("tbody .badge")
            await expect(badge).to_have_count(1)
            await browsing.page.evaluate("window.same = document.querySelector('tbody')")
            assert await badge.inner_text() != "Paused"

            credential = scenario.world.credential("ak_acme.demo")
            assert credential is not None
            june = credential.organization.find("crm:june/renewals")
            assert june is not None
            june.pause()

            await until(lambda: changed(browsing, badge, "Paused"))
            assert await browsing.page.evaluate("window.same === document.querySelector('tbody')")


async def test_typing_filters_and_neither_focus_nor_text_is_lost(tab: Opener) -> None:
    async with serving_frontend(crowd(250, RealClock()).overview) as address:
        browsing = await tab()
        page = browsing.page
        await browsing.open(address, "/?sort=campaign")
        search = page.get_by_label("Search")
        await search.press_sequentially("campaign-0010")
        await page.clock.fast_forward(300)
        await expect(page.get_by_role("status")).to_have_text("10 of 250 campaigns")
        assert page.url == f"{address}/?q=campaign-0010&sort=campaign"

        await browsing.refresh()
        await search.press_sequentially("3")
        await page.clock.fast_forward(300)
        await expect(page.get_by_role("status")).to_have_text("1 of 250 campaigns")
        await expect(search).to_be_focused()
        await expect(search).to_have_value("campaign-00103")

        await search.fill("nothing like it")
        await page.clock.fast_forward(300)
        await expect(page.get_by_text("No campaign matches")).to_be_visible()
        await page.get_by_role("link", name="Show all campaigns").click()
        await expect(page.get_by_role("status")).to_have_text("250 campaigns")
        await expect(search).to_have_value("")


async def test_filters_go_back_and_forward_with_the_browser(tab: Opener) -> None:
    async with serving_frontend(crowd(250, RealClock()).overview) as address:
        browsing = await tab()
        page = browsing.page
        await browsing.open(address)
        await page.get_by_role("list", name="Campaigns by state").get_by_role("link", name="Failing").click()
        await expect(page.locator("select[name=state]")).to_have_value("failing")
        await expect(page.get_by_role("status")).to_have_text(re.compile(r"^\d\d of 250 campaigns$"))
        await expect(page.locator(".badge").first).to_have_text("Failing")
        filtered = await page.get_by_role("status").inner_text()

        await page.go_back()
        await expect(page.get_by_role("status")).to_have_text("250 campaigns")
        await expect(page.locator("select[name=state]")).to_have_value("")
        await page.go_forward()
        await expect(page.get_by_role("status")).to_have_text(filtered)
        await page.get_by_label("Provider").select_option("osvi")
        await page.clock.fast_forward(50)
        await expect(page).to_have_url(f"{address}/?provider=osvi&state=failing")


async def test_columns_sort_and_rows_are_moved_and_not_rebuilt(tab: Opener) -> None:
    acme = Acme()
    async with serving_frontend(acme.made.overview) as address:
        browsing = await tab()
        page = browsing.page
        await browsing.open(address)
        await page.evaluate("window.rows = [...document.querySelectorAll('tbody')]")
        header = page.get_by_role("columnheader", name="Campaign")

        await header.get_by_role("link").click()
        await expect(header).to_have_attribute("aria-sort", "ascending")
        assert await browsing.names() == ["August", "July", "June"]
        await header.get_by_role("link").click()
        await expect(header).to_have_attribute("aria-sort", "descending")
        assert await browsing.names() == ["June", "July", "August"]
        await expect(page.get_by_role("columnheader", name="State")).not_to_have_attribute("aria-sort", re.compile("."))
        assert await page.evaluate("window.rows.every((row) => row.isConnected)")


async def test_the_keyboard_is_enough(tab: Opener) -> None:
    async with serving_frontend(crowd(250, RealClock()).overview) as address:
        browsing = await tab()
        page = browsing.page
        await browsing.open(address)

        await page.keyboard.press("Tab")
        await expect(page.get_by_role("link", name="Skip to the campaigns")).to_be_focused()
        await tab_to(page, "document.activeElement.name === 'q'")
        await page.keyboard.type("account-b")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("status")).to_have_text("63 of 250 campaigns")
        await tab_to(page, "document.activeElement.closest('th')?.className === 'progress'")
        await page.keyboard.press("Enter")
        header = page.locator("thead .progress")
        await expect(header).to_have_attribute("aria-sort", "descending")
        await expect(header.get_by_role("link")).to_be_focused()
        await browsing.refresh()
        await expect(header.get_by_role("link")).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(header).to_have_attribute("aria-sort", "ascending")
        await tab_to(page, "document.activeElement.textContent.startsWith('Runbook')")


async def tab_to(page: Page, condition: str) -> None:
    """Press the tabulator until what is focused is what is meant."""
    for _ in range(150):
        await page.keyboard.press("Tab")
        if await page.evaluate(condition):
            return
    raise AssertionError(f"never focused: {condition}")


async def test_focus_stays_on_a_row_that_moves(tab: Opener) -> None:
    acme = Acme()
    acme.june.failed("timeout", "no answer")
    acme.june.withdraw()
    async with serving_frontend(acme.made.overview) as address:
        browsing = await tab()
        page = browsing.page
        await browsing.open(address)
        runbook = page.get_by_role("link", name="Runbook for June")
        await runbook.focus()
        assert (await browsing.names())[0] == "June"

        acme.august.failed("timeout", "no answer")
        acme.august.withdraw()
        await until(lambda: is_first(browsing, "August"))

        assert await browsing.names() == ["August", "June", "July"]
        await expect(runbook).to_be_focused()


async def is_first(browsing: Tab, name: str) -> bool:
    await browsing.refresh()
    return (await browsing.names())[0] == name


async def test_a_lost_exporter_is_reported_and_found_again(tab: Opener) -> None:
    acme = Acme()
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    browsing = await tab()
    page = browsing.page
    async with serving_frontend(acme.made.overview, port=port) as address:
        await browsing.open(address)
        await expect(page.get_by_role("alert")).to_be_hidden()

    await page.clock.fast_forward(5_100)
    await expect(page.get_by_role("alert")).to_contain_text("The exporter can’t be reached since")  # noqa: RUF001 -- as shown
    await expect(page.get_by_text("Live", exact=True)).to_be_hidden()
    assert await browsing.names() == ["August", "July", "June"]

    acme.says(acme.june, active_calls=4.0)
    async with serving_frontend(acme.made.overview, port=port):
        await until(lambda: is_found(browsing))
        await expect(page.get_by_text("Live", exact=True)).to_be_visible()
        await expect(page.locator("tbody", has_text="June").locator(".calls b")).to_have_text("4")
    assert browsing.faults
    assert all("ERR_CONNECTION_REFUSED" in fault for fault in browsing.faults), browsing.faults
    browsing.faults.clear()


async def is_found(browsing: Tab) -> bool:
    await browsing.page.clock.fast_forward(5_100)
    return await browsing.page.get_by_role("alert").is_hidden()


async def test_ten_thousand_campaigns_are_quickly_shown_and_filtered(
    tab: Opener, record_property: Callable[[str, object], None]
) -> None:
    made = crowd(10_000, RealClock())
    async with serving_frontend(made.overview) as address:
        browsing = await tab(frozen=False)
        page = browsing.page
        began = time.perf_counter()
        await page.goto(address, wait_until="commit")
        await page.locator("tbody").first.wait_for()
        record_property("seconds to the first row", round(time.perf_counter() - began, 3))
        await expect(page.get_by_role("status")).to_have_text("10,000 campaigns")
        await expect(page.get_by_text("Page 1 of 100")).to_be_visible()

        began = time.perf_counter()
        await page.get_by_label("Search").fill("campaign-0777")
        await page.get_by_text("10 of 10,000 campaigns").wait_for()
        record_property("seconds to the filtered rows", round(time.perf_counter() - began, 3))
        assert await page.locator("tbody").count() == 10


async def test_names_are_text_whatever_is_in_them(tab: Opener) -> None:
    made = MadeUp(RealClock())
    account = made.account("<script>alert(1)</script>", OSVI)
    names = ["<img src=x onerror=alert(1)>", '" autofocus onfocus="alert(1)', "\u202egnp.exe", "&lt;b&gt;"]
    for place, name in enumerate(names):
        campaign = account.add(f"{place}</title><script>alert(2)</script>", labels=(("team", "</select>"),))
        account.says(campaign, status="<b>", name=name, calls={"<svg onload=alert(3)>": 4.0})
        campaign.failed("invalid_response", "</span><script>alert(4)</script>")
    async with serving_frontend(made.overview) as address:
        browsing = await tab()
        await browsing.open(address, "/?sort=-calls&account=%3Cscript%3Ealert(1)%3C/script%3E")
        account.says(account.campaigns[0], status="<b>", name=names[0], calls={"picked": 3.0})
        await until(
            lambda: changed(browsing, browsing.page.get_by_text("calls made").nth(0), "3 calls made, 3 answered")
        )

        assert sorted(await browsing.names()) == sorted(
            name.replace("\u202e", "\N{REPLACEMENT CHARACTER}") for name in names
        )
        assert await browsing.page.evaluate("document.scripts.length") == 1


async def test_ages_go_on_between_answers(tab: Opener) -> None:
    acme = Acme()
    async with serving_frontend(acme.made.overview) as address:
        browsing = await tab()
        await browsing.open(address)
        await browsing.page.context.set_offline(True)
        shown = browsing.page.locator("tbody", has_text="June").locator(".updated time")
        await browsing.page.clock.fast_forward(3 * 60_000)
        await expect(shown).to_have_text(re.compile("^[34] min ago$"))
        await browsing.page.clock.fast_forward(3 * 3600_000)
        await expect(shown).to_have_text("3 h ago")
        browsing.faults.clear()  # it was offline


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_it_follows_the_colours_that_are_preferred(tab: Opener, scheme: str) -> None:
    async with serving_frontend(Acme().made.overview) as address:
        browsing = await tab(color_scheme=scheme)
        await browsing.open(address)
        ground, ink = await browsing.page.evaluate(
            "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
        )

        assert (lightness(ground) > lightness(ink)) is (scheme == "light")


def lightness(colour: str) -> int:
    return sum(map(int, re.findall(r"\d+", colour)[:3]))


@pytest.mark.parametrize("width", [1440, 1350, 1000, 360])
async def test_it_fits_the_screen(tab: Opener, width: int) -> None:
    made = crowd(40, RealClock())
    # Many words where others have few
    made.accounts[0].says(made.accounts[0].add("June"), status="active")
    async with serving_frontend(made.overview) as address:
        browsing = await tab(viewport={"width": width, "height": 800})
        await browsing.open(address)

        assert await browsing.page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing_serious(tab: Opener, scheme: str, width: int) -> None:
    made = crowd(60, RealClock())
    made.accounts[0].add("unpolled")
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    browsing = await tab(color_scheme=scheme, viewport={"width": width, "height": 900})
    async with serving_frontend(made.overview, port=port) as address:
        campaign = "/campaigns/osvi/account-d/campaign-00003"
        for path in (campaign, "/", "/?q=nothing+like+it", "/?state=failing&sort=-progress"):
            await browsing.open(address, path)
            assert await serious(browsing.page) == []
        await browsing.page.goto(f"{address}/runbooks/CampaignStalled?account=a")
        assert await serious(browsing.page) == []
        await browsing.open(address)
    await browsing.page.clock.fast_forward(5_100)
    await expect(browsing.page.get_by_role("alert")).to_be_visible()
    assert await serious(browsing.page) == []
    browsing.faults.clear()  # it could not be reached


async def serious(page: Page) -> list[tuple[str, str, str]]:
    # axe waits by the clock of the page, which is at rest.
    await page.clock.resume()
    await page.evaluate(AXE)
    found = (await page.evaluate("axe.run({ resultTypes: ['violations'] })"))["violations"]
    return [
        (fault["id"], fault["help"], node["html"][:200])
        for fault in found
        if fault["impact"] in ("serious", "critical")
        for node in fault["nodes"]
    ]


async def test_it_works_behind_a_proxy_under_a_path(tab: Opener) -> None:
    async with serving_frontend(crowd(250, RealClock()).overview) as address, behind_proxy(address) as proxied:
        browsing = await tab()
        page = browsing.page
        await browsing.open(proxied)
        await page.get_by_label("Search").fill("campaign-0010")
        await page.clock.fast_forward(300)
        await expect(page.get_by_role("status")).to_have_text("10 of 250 campaigns")
        await page.get_by_role("link", name="Clear").click()
        await page.get_by_role("link", name="Next").click()
        await expect(page.get_by_text("Page 2 of 3")).to_be_visible()

        assert page.url == f"{proxied}/?page=2"
        assert await page.evaluate("getComputedStyle(document.querySelector('.states')).display") == "flex"


async def test_a_row_leads_to_its_campaign_which_follows_by_itself(tab: Opener) -> None:
    acme = Acme()
    async with serving_frontend(acme.made.overview) as address:
        browsing = await tab()
        page = browsing.page
        await browsing.open(address)
        await page.get_by_role("link", name="June").click()
        await expect(page.get_by_role("heading", name="June")).to_be_visible()
        assert page.url == f"{address}/campaigns/anyreach/acme/june"
        fact = page.locator("dl div", has=page.get_by_text("Calls of this campaign")).locator("dd")
        await expect(fact).to_have_text("8")

        acme.says(acme.june, active_calls=3.0)
        await until(lambda: changed(browsing, fact, "3"))

        acme.account.campaigns.remove(acme.june)
        await until(lambda: is_gone(browsing))
        await page.get_by_role("link", name="Show all campaigns").click()
        await expect(page.get_by_role("status")).to_have_text("2 campaigns")
        assert all("404" in fault for fault in browsing.faults), browsing.faults
        browsing.faults.clear()


async def is_gone(browsing: Tab) -> bool:
    await browsing.refresh()
    return await browsing.page.get_by_role("heading", name="No such campaign").is_visible()


async def test_a_campaign_and_a_runbook_need_no_script(tab: Opener) -> None:
    acme = Acme()
    acme.june.failed("timeout", "no answer")
    async with serving_frontend(acme.made.overview) as address, behind_proxy(address) as proxied:
        browsing = await tab(java_script_enabled=False, frozen=False)
        page = browsing.page
        await page.goto(f"{proxied}/campaigns/anyreach/acme/june")
        await expect(page.get_by_text("What to do")).to_be_visible()
        await page.get_by_role("link", name="acme").click()
        await expect(page.get_by_role("status")).to_have_text("3 campaigns")

        await page.goto(f"{proxied}/runbooks/CampaignStalled?account=acme")
        await page.get_by_label("Campaign").fill("june")
        await page.get_by_role("button", name="Fill in").click()
        query = page.locator("pre").nth(1)
        await expect(query).to_contain_text('campaign_info{account="acme", campaign="june"}')
        await query.click()
        selected = await query.evaluate("element => getComputedStyle(element.firstChild).userSelect")
        assert selected == "all"


async def test_the_head_of_the_table_stays_in_sight(tab: Opener) -> None:
    async with serving_frontend(crowd(100, RealClock()).overview) as address:
        browsing = await tab(viewport={"width": 1350, "height": 800})
        await browsing.open(address)
        await browsing.page.evaluate("scrollTo(0, 3000)")
        box = await browsing.page.get_by_role("columnheader", name="Campaign").bounding_box()

        assert box is not None
        assert 0 <= box["y"] < 10


async def test_a_phone_shows_24_campaigns_on_a_few_screens(tab: Opener) -> None:
    async with serving_frontend(crowd(24, RealClock()).overview) as address:
        browsing = await tab(viewport={"width": 390, "height": 844})
        await browsing.open(address)

        assert await browsing.page.evaluate("document.documentElement.scrollHeight") < 4000


async def test_what_a_reader_has_folded_stays_so(tab: Opener) -> None:
    acme = Acme()
    acme.made.account("zeta").add("other")
    async with serving_frontend(acme.made.overview) as address:
        browsing = await tab()
        await browsing.open(address)
        await browsing.page.get_by_text("2 accounts").click()
        acme.says(acme.june, active_calls=4.0)
        await until(lambda: changed(browsing, browsing.page.locator("tbody", has_text="June").locator(".calls b"), "4"))

        await expect(browsing.page.get_by_role("link", name="zeta")).to_be_hidden()
