"""The dashboard in a real browser, against the real API: what one sees, the keyboard, the address bar, hostile data."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx
import psycopg
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visit
from tests.support.api_calls import FakeSnapshots, store, stored_event
from tests.support.command_devices import AnsweringDevice, store_device
from tests.support.dashboard_server import add_picture, dashboard_server, events_of_a_morning, jpeg_picture
from tests.support.snapshot_device import SnapshotDevice
from tests.support.users import PASSWORD, add_user

pytestmark = pytest.mark.xdist_group("browser")

Open = Callable[..., Visit]
HOSTILE: Final = "<img src=x onerror=document.title='owned'>"
_VIEWS: Final = ("#/events", "#/events?as=list", "#/cameras", "#/plates", "#/plates?plate=B-AK-123")


@pytest.fixture
def snapshots() -> FakeSnapshots:
    """The bucket."""
    return FakeSnapshots()


@pytest.fixture
def ids(database_url: str, snapshots: FakeSnapshots) -> list[int]:
    """The ids of 60 events with pictures, the newest last."""
    return store(database_url, events_of_a_morning(snapshots, until=datetime.now(UTC)))


@pytest.fixture
def server(database_url: str, snapshots: FakeSnapshots, ids: list[int]) -> Iterator[str]:
    """A server with data where all callers may do everything."""
    with dashboard_server(database_url, snapshots=snapshots) as origin:
        yield origin


def _cards(page: Page) -> Any:
    return page.locator(".events > li:not(.day) > a")


def _assert_accessible(page: Page, where: str) -> None:
    results = Axe().run(page)
    found = [f"{item['id']}: {node['html'][:200]}" for item in results.response["violations"] for node in item["nodes"]]
    assert found == [], f"{where}: {found}"


def _assert_fits(page: Page, where: str) -> None:
    width = page.evaluate("() => [document.documentElement.scrollWidth, window.innerWidth]")
    assert width[0] <= width[1], f"{where} is wider than the window"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1440])
def test_every_view_is_accessible_and_fits(visit: Open, server: str, ids: list[int], width: int, scheme: str) -> None:
    """No axe violation and no sideways scrolling, with data, also with the event dialog and the filters open."""
    httpx.post(f"{server}/api/v1/cameras", json={"name": "Gate", "slug": "gate", "rtsp_url": "rtsp://10.0.0.4/stream"})
    one = visit(server, viewport={"width": width, "height": 800}, color_scheme=scheme)
    for fragment in (*_VIEWS, f"#/events?event={ids[-2]}"):
        page = one.open(fragment)
        page.reload()
        expect(page.locator("main :is(.events, .cameras, .plates) > li").first).to_be_visible()
        if "event=" in fragment:
            expect(page.locator("dialog.event .strip li").first).to_be_visible()
        _assert_accessible(page, fragment)
        _assert_fits(page, fragment)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_empty_views_say_so(visit: Open, database_url: str, scheme: str) -> None:
    """Without data each view has words in place of a list, and no axe violation."""
    with dashboard_server(database_url) as origin:
        one = visit(origin, viewport={"width": 360, "height": 760}, color_scheme=scheme)
        for fragment, words in (
            ("#/events", "No events yet"),
            ("#/events?camera=gate", "No event matches"),
            ("#/cameras", "No cameras yet"),
            ("#/plates", "No plates yet"),
            ("#/plates?plate=AB123", "No read matches"),
        ):
            page = one.open(fragment)
            expect(page.locator("main")).to_contain_text(words)
            _assert_accessible(page, fragment)


def test_new_events_appear_by_themselves(visit: Open, server: str, database_url: str, snapshots: FakeSnapshots) -> None:
    """At the top, with their picture once it has been uploaded, without a reload; not while paused."""
    page = visit(server).open()
    expect(_cards(page)).to_have_count(48)
    late = add_picture(FakeSnapshots(), stored_event("tracking", camera_id="gate", timestamp=datetime.now(UTC)))
    store(database_url, [late | {"event_data": {"class_name": "lorry", "tracking_action": "entered"}}])
    first = _cards(page).first
    expect(first).to_contain_text("Lorry entered")
    expect(first).to_contain_text("Picture pending")
    expect(page.locator(".totals")).to_contain_text("61 events")
    add_picture(snapshots, late)
    expect(first.locator("img")).to_be_visible()
    page.get_by_role("button", name="Live").click()
    expect(page).to_have_url(re.compile("live=off"))
    store(database_url, [stored_event("motion", timestamp=datetime.now(UTC) + timedelta(seconds=1))])
    page.wait_for_timeout(4000)
    expect(first).to_contain_text("Lorry entered")


def test_filters_are_in_the_address(visit: Open, server: str) -> None:
    """A choice changes address and list; the address alone, and the back button, show the same."""
    page = visit(server).open()
    page.get_by_role("button", name=re.compile("^Plates")).click()
    page.get_by_label("Camera", exact=True).select_option("gate")
    expect(page).to_have_url(re.compile(r"#/events\?type=anpr&camera=gate$"))
    expect(page.locator(".totals")).to_contain_text("events found")
    expect(_cards(page).first).to_contain_text("B·AK 123")
    address, count = page.url, _cards(page).count()
    assert 0 < count < 20
    page.go_back()
    expect(page).to_have_url(re.compile(r"#/events\?type=anpr$"))
    expect(page.get_by_label("Camera", exact=True)).to_have_value("")
    other = visit(server)
    other.page.goto(address)
    expect(_cards(other.page)).to_have_count(count)
    expect(other.page.get_by_label("Camera", exact=True)).to_have_value("gate")
    other.page.get_by_role("button", name="Clear filters").click()
    expect(other.page).to_have_url(re.compile("#/events$"))
    expect(_cards(other.page)).to_have_count(48)


def test_class_zone_plate_and_time_filter_too(visit: Open, server: str) -> None:
    """Each field is a condition of the API; an invalid one is an error in words."""
    page = visit(server).open()
    page.get_by_label("Class").fill("person")
    page.get_by_label("Class").press("Enter")
    expect(page).to_have_url(re.compile("class=person"))
    expect(page.locator(".totals")).to_contain_text("events found")
    page.get_by_label("Time").select_option("1h")
    expect(page).to_have_url(re.compile("last=1h"))
    page.goto(f"{server}/#/events?zone=driveway")
    expect(_cards(page).first).to_contain_text("Car entered")
    page.goto(f"{server}/#/events?plate=bak-123")
    expect(_cards(page).first).to_contain_text("B·AK 123")
    page.goto(f"{server}/#/events?from=2020-01-01T00:00Z&to=2020-01-02T00:00Z")
    expect(page.locator("main")).to_contain_text("No event matches")
    expect(page.get_by_label("From")).to_have_value("2020-01-01T01:00")
    page.goto(f"{server}/#/events?zone=%3Cb%3E")
    expect(page.get_by_role("alert")).to_contain_text("must begin with a letter")


def test_paging_back(visit: Open, server: str) -> None:
    """Older events are a page of their own in the address; the way back leads to the newest."""
    page = visit(server).open()
    page.get_by_role("link", name="Older events").click()
    expect(page).to_have_url(re.compile("cursor="))
    expect(_cards(page)).to_have_count(12)
    page.get_by_role("link", name="Newest events").click()
    expect(_cards(page)).to_have_count(48)


def test_the_whole_way_by_keyboard(visit: Open, server: str) -> None:
    """Skip link, list, dialog, neighbour, back to where the focus was: without a mouse."""
    page = visit(server, viewport={"width": 1440, "height": 900}).open()
    expect(_cards(page)).to_have_count(48)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    _cards(page).first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("j")
    expect(_cards(page).nth(2)).to_be_focused()
    opened = _cards(page).nth(2).get_attribute("data-event")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(f"event={opened}$"))
    dialog = page.get_by_role("dialog")
    expect(dialog.locator("h1")).to_be_focused()
    expect(dialog.locator(".strip [aria-current]")).to_be_visible()
    page.keyboard.press("ArrowLeft")
    expect(page).not_to_have_url(re.compile(f"event={opened}$"))
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page).to_have_url(re.compile("#/events$|/$"))
    expect(_cards(page).nth(2)).to_be_focused()


def test_an_event_has_its_own_address(visit: Open, server: str, ids: list[int]) -> None:
    """Picture, facts, plate and neighbours; an unknown event is an error in words; back closes the dialog."""
    page = visit(server).open(f"#/events?event={ids[1]}")
    dialog = page.get_by_role("dialog")
    expect(dialog.locator(".large img")).to_be_visible()
    expect(dialog.locator(".number-plate")).to_have_text("B·AK 123")
    expect(dialog.locator("dl")).to_contain_text("blue car")
    expect(dialog.locator(".when")).to_contain_text(re.compile("CES?T|GMT"))
    expect(dialog.locator(".strip [aria-current]")).to_contain_text("this event")
    dialog.get_by_role("link", name="All reads of this plate").click()
    expect(page).to_have_url(re.compile("#/plates"))
    expect(dialog).to_be_hidden()
    page.go_back()
    expect(dialog).to_be_visible()
    page.goto(f"{server}/#/events?event=999999")
    expect(dialog.get_by_role("alert")).to_contain_text("There is no event with this id")


def test_plates_are_found(visit: Open, server: str) -> None:
    """Exact with its history, by the beginning, and similar ones; the address has the search."""
    page = visit(server).open("#/plates")
    page.get_by_label("Plate", exact=True).fill("b ak 123")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("plate=b\\+ak\\+123"))
    expect(page.locator(".history")).to_contain_text("BAK123")
    page.get_by_label("Plate", exact=True).fill("BAK124")
    page.get_by_label("Match").select_option("fuzzy")
    page.get_by_role("button", name="Search").click()
    expect(page.locator(".plates > li").first).to_contain_text("1 change")
    page.locator(".plates a").first.click()
    expect(page.get_by_role("dialog").locator(".number-plate")).to_have_text("B·AK 123")


def test_hostile_data_is_text(visit: Open, database_url: str, snapshots: FakeSnapshots) -> None:
    """Markup in a class, zone, plate, camera name, error or file name is shown as it is, everywhere."""
    plate = {
        "anpr_result": {"license_plate": HOSTILE, "confidence": 0.9},
        "plate_normalized": "X1",
        "direction": HOSTILE,
    }
    tracking = {"class_name": HOSTILE, "tracking_action": HOSTILE, "zones": [HOSTILE], "confidence": 0.5}
    status = {"status": HOSTILE, "error": HOSTILE}
    now = datetime.now(UTC)
    rows = [
        stored_event("tracking", event_data=tracking, timestamp=now),
        stored_event("anpr", event_data=plate, timestamp=now - timedelta(seconds=1)),
        stored_event("camera_status", event_data=status, timestamp=now - timedelta(seconds=2)),
        stored_event("detection", event_data={"detections": [tracking]}, timestamp=now - timedelta(seconds=3)),
        stored_event("rule", event_data={"rule": HOSTILE, "name": HOSTILE}, timestamp=now - timedelta(seconds=4)),
    ]
    numbers = store(database_url, rows)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE events SET camera_id = %s WHERE id = %s", [HOSTILE, numbers[0]])
    with dashboard_server(database_url, snapshots=snapshots) as origin:
        camera = {"name": HOSTILE, "slug": "yard", "rtsp_url": "rtsp://10.0.0.4/stream", "location": HOSTILE}
        assert httpx.post(f"{origin}/api/v1/cameras", json=camera).status_code == 201
        one = visit(origin)
        for fragment in ("#/events", "#/cameras", "#/plates", *(f"#/events?event={number}" for number in numbers)):
            page = one.open(fragment)
            page.reload()
            expect(page.locator("body")).to_contain_text(re.compile("onerror", re.IGNORECASE))
            if "event=" in fragment:
                expect(page.get_by_role("dialog")).to_contain_text(re.compile("onerror", re.IGNORECASE))
            assert page.locator('img[src="x"]').count() == 0
            assert page.title() != "owned"


def test_an_unreachable_server_is_said(visit: Open, server: str) -> None:
    """The page keeps what it has, says that it is out of date, and recovers by itself."""
    one = visit(server)
    page = one.open()
    expect(_cards(page)).to_have_count(48)
    page.context.set_offline(True)
    expect(page.locator(".banner")).to_contain_text("The server cannot be reached")
    expect(_cards(page)).to_have_count(48)
    _assert_accessible(page, "offline")
    page.context.set_offline(False)
    expect(page.locator(".banner")).to_be_empty()


def test_logging_in_and_out(visit: Open, database_url: str, snapshots: FakeSnapshots, ids: list[int]) -> None:
    """Nothing is shown before; a wrong password is an error; the session survives a reload; log-out ends it."""
    add_user(database_url, "ana", role="operator")
    with dashboard_server(database_url, snapshots=snapshots, users=True) as origin:
        page = visit(origin).open(f"#/events?event={ids[-1]}")
        dialog = page.get_by_role("dialog", name="Log in to Vedette")
        expect(dialog.get_by_label("User name or email")).to_be_focused()
        assert _cards(page).count() == 0
        _assert_accessible(page, "log-in")
        page.keyboard.press("Escape")
        expect(dialog).to_be_visible()
        page.get_by_label("User name or email").fill("ana")
        page.get_by_label("Password").fill("wrong")
        page.keyboard.press("Enter")
        expect(dialog.get_by_role("alert")).to_contain_text("The username or the password is wrong")
        page.get_by_label("Password").fill(PASSWORD)
        page.keyboard.press("Enter")
        expect(page.locator(".who")).to_contain_text("ana")
        expect(page.get_by_role("dialog").locator("h1")).to_contain_text("Person left")
        [cookie] = page.context.cookies()
        assert (cookie.get("httpOnly"), cookie.get("sameSite")) == (True, "Strict")
        assert page.evaluate("() => [document.cookie, localStorage.length, sessionStorage.length]") == ["", 0, 0]
        page.reload()
        expect(page.locator(".who")).to_contain_text("ana")
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Log out").click()
        expect(dialog).to_be_visible()
        assert page.context.cookies() == []


def test_looking_around_without_a_user(
    visit: Open, database_url: str, snapshots: FakeSnapshots, ids: list[int]
) -> None:
    """As the role of anonymous callers, which the page names; with the way to log in."""
    add_user(database_url, "ana", role="operator")
    with dashboard_server(database_url, snapshots=snapshots, users=True, anonymous_role="viewer") as origin:
        page = visit(origin).open()
        expect(page.locator(".who")).to_have_text("Looking around as viewer")
        expect(_cards(page)).to_have_count(48)
        page.get_by_role("link", name="Log in").click()
        page.get_by_label("User name or email").fill("ana")
        page.get_by_label("Password").fill(PASSWORD)
        page.keyboard.press("Enter")
        expect(page.locator(".who")).to_contain_text("ana")
        expect(page.get_by_role("dialog")).to_be_hidden()


def test_a_snapshot_now(visit: Open, database_url: str, snapshots: FakeSnapshots, ids: list[int]) -> None:
    """The picture replaces the camera's newest one; a camera that is not in the API has no button."""
    large, small = jpeg_picture((960, 540), 30), jpeg_picture((320, 180), 30)
    device = SnapshotDevice(database_url, snapshots, jpeg=large, thumbnail=small)
    store_device(database_url)
    with dashboard_server(database_url, snapshots=snapshots, commands=AnsweringDevice(database_url, device)) as origin:
        _add_camera(origin)
        page = visit(origin).open("#/cameras")
        card = page.locator("vd-camera-card").filter(has_text="gate-01")
        expect(card.get_by_role("img", name="Newest picture of gate")).to_be_visible()
        card.get_by_role("button", name="Snapshot now").click()
        expect(card.get_by_role("status")).to_have_text("Taken just now")
        image = card.get_by_role("img", name="Picture of gate, just taken")
        expect(image).to_be_visible()
        assert image.evaluate("image => image.naturalWidth") == 960
        assert [command["camera_id"] for command in device.commands] == ["gate"]
        unmanaged = page.locator("vd-camera-card").filter(has_text="loading-dock")
        expect(unmanaged.get_by_role("button")).to_have_count(0)


def test_a_snapshot_that_fails_is_an_error_in_words(visit: Open, server: str) -> None:
    """The camera's newest picture stays."""
    _add_camera(server)
    page = visit(server).open("#/cameras")
    card = page.locator("vd-camera-card").filter(has_text="gate-01")
    expect(card.get_by_role("img")).to_be_visible()
    card.get_by_role("button", name="Snapshot now").click()
    expect(card.get_by_role("status")).to_contain_text(re.compile("offline|does not exist|not answer", re.IGNORECASE))
    expect(card.get_by_role("img", name="Newest picture of gate")).to_be_visible()


def _add_camera(origin: str) -> None:
    camera = {"name": "Gate", "slug": "gate", "rtsp_url": "rtsp://10.0.0.4/stream", "device_id": "gate-01"}
    assert httpx.post(f"{origin}/api/v1/cameras", json=camera).status_code == 201
