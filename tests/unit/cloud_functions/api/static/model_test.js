// The dashboard's pure modules: no document, no server.

import assert from "node:assert/strict";

import { errorOf } from "../../../../../cloud_functions/api/static/app/api.js";
import { waitMs } from "../../../../../cloud_functions/api/static/app/poller.js";
import { imagePath } from "../../../../../cloud_functions/api/static/app/snapshots.js";
import { summaryText } from "../../../../../cloud_functions/api/static/model/camera_text.js";
import { mergeFirstPage } from "../../../../../cloud_functions/api/static/model/event_list.js";
import { eventPage, platePage } from "../../../../../cloud_functions/api/static/model/event_query.js";
import {
  confidenceOf,
  factsOf,
  subtitleOf,
  titleOf,
} from "../../../../../cloud_functions/api/static/model/event_text.js";
import { offsetText, orderedByTime } from "../../../../../cloud_functions/api/static/model/neighbours.js";
import * as times from "../../../../../cloud_functions/api/static/model/times.js";
import { countFilters, formatState, parseState } from "../../../../../cloud_functions/api/static/model/url_state.js";
import { indexAfter } from "../../../../../cloud_functions/api/static/ui/grid_keys.js";

const NOW = new Date("2026-11-20T12:00:00Z");

/**
 * @param {number} id
 * @param {string} timestamp
 * @param {object} [fields]
 * @returns {any}
 */
function event(id, timestamp, fields = {}) {
  return {
    id,
    event_id: `e-${id}`,
    event_type: "tracking",
    camera_id: "gate",
    site_id: "hq",
    device_id: "gate-01",
    timestamp,
    frame_number: null,
    snapshot_path: null,
    event_data: {},
    created_at: timestamp,
    ...fields,
  };
}

/** @param {number} second */
function at(second) {
  return `2026-11-20T11:00:${String(second).padStart(2, "0")}Z`;
}

Deno.test("an address survives the round trip", () => {
  const state = parseState("#/events?type=anpr&plate=AB+1%26%23&event=42");
  assert.deepEqual(state, { view: "events", params: { type: "anpr", plate: "AB 1&#", event: "42" } });
  assert.deepEqual(parseState(formatState(state)), state);
});

Deno.test("an unknown view, unknown parameters and long values are left out", () => {
  assert.deepEqual(parseState("#/nowhere?x=1"), { view: "events", params: {} });
  assert.deepEqual(parseState("#/cameras?__proto__=1&type=anpr&page=2"), { view: "cameras", params: { page: "2" } });
  assert.deepEqual(parseState(`#/events?zone=${"x".repeat(301)}`).params, {});
  assert.deepEqual(parseState(""), { view: "events", params: {} });
});

Deno.test("what is shown counts as a filter, and how it is shown does not", () => {
  assert.equal(countFilters({ type: "anpr", last: "1h", as: "list", event: "1", cursor: "x" }), 2);
});

Deno.test("conditions become parameters of the API", () => {
  const query = eventPage({ type: "anpr", camera: "gate", class: "car", zone: "yard", plate: "A 1", last: "1h" }, NOW);
  assert.deepEqual(query, {
    event_type: "anpr",
    camera_id: "gate",
    class_name: "car",
    zone: "yard",
    license_plate: "A 1",
    start_time: "2026-11-20T11:00:00.000Z",
    page_size: "48",
  });
  assert.equal(eventPage({ from: "2026-11-20T10:00Z" }, NOW).start_time, "2026-11-20T10:00:00Z");
  assert.equal(platePage({ match: "fuzzy" }, NOW).match, undefined, "a match needs a plate");
});

Deno.test("a first page is merged into the list", () => {
  const known = [event(2, at(20)), event(1, at(10))];
  const page = [event(3, at(30)), event(2, at(20))];
  const { events, added } = mergeFirstPage(known, page);
  assert.deepEqual([events.map((one) => one.id), added], [[3, 2, 1], 1]);
});

Deno.test("a late event takes its place, and a deleted one goes", () => {
  const known = [event(3, at(30)), event(2, at(20)), event(1, at(10))];
  const late = [event(3, at(30)), event(4, at(25)), event(2, at(20))];
  assert.deepEqual(mergeFirstPage(known, late).events.map((one) => one.id), [3, 4, 2, 1]);
  const without = [event(3, at(30)), event(1, at(10))];
  assert.deepEqual(mergeFirstPage(known, without).events.map((one) => one.id), [3, 1]);
});

Deno.test("a page without a common event replaces the list", () => {
  const { events, added } = mergeFirstPage([event(1, at(1))], [event(9, at(50)), event(8, at(40))]);
  assert.deepEqual([events.map((one) => one.id), added], [[9, 8], 2]);
  assert.deepEqual(mergeFirstPage([event(1, at(1))], []).events, []);
});

Deno.test("titles say what happened", () => {
  const cases = /** @type {[string, object, string][]} */ ([
    ["tracking", { class_name: "car", tracking_action: "entered" }, "Car entered"],
    ["tracking", { class_name: "car", tracking_action: "updated" }, "Car present"],
    ["anpr", { anpr_result: { license_plate: "B·AK 123" } }, "B·AK 123"],
    ["anpr", { plate_token: "x" }, "Protected plate"],
    ["motion", { duration_seconds: 3 }, "Motion ended"],
    [
      "detection",
      { detections: [{ class_name: "dog" }, { class_name: "dog" }, { class_name: "cat" }] },
      "2 × dog, cat",
    ],
    ["rule", { rule: "line_crossed", class_name: "person" }, "Line crossed: person"],
    ["snapshot", { error: "camera offline" }, "Snapshot failed"],
    ["camera_status", { status: "degraded" }, "Camera degraded"],
    ["of_a_newer_device", {}, "Of a newer device"],
  ]);
  for (const [event_type, event_data, title] of cases) {
    assert.equal(titleOf(event(1, at(1), { event_type, event_data })), title);
  }
});

Deno.test("data of any shape gives words and no error", () => {
  const shapes = [{ truncated: true }, { zones: "x", confidence: "high", detections: [1, null], anpr_result: [] }, {
    class_name: {},
    vehicle: null,
  }];
  for (const event_type of ["tracking", "anpr", "motion", "detection", "rule", "snapshot", "camera_status"]) {
    for (const event_data of shapes) {
      const one = event(1, at(1), { event_type, event_data });
      assert.equal(typeof titleOf(one) + typeof subtitleOf(one), "stringstring");
      assert.ok(factsOf(one).length >= 2);
      assert.equal(confidenceOf(one), null);
    }
  }
});

Deno.test("facts leave out what an event does not have", () => {
  const data = { class_name: "car", confidence: 0.874, zones: ["a", "b"], dwell_time_seconds: 75 };
  const facts = Object.fromEntries(
    factsOf(event(1, at(1), { event_data: data })).map((fact) => [fact.label, fact.value]),
  );
  assert.deepEqual([facts.Class, facts.Confidence, facts.Zones, facts.Stayed], ["car", "87 %", "a, b", "1 min 15 s"]);
  assert.equal(facts.Error, undefined);
});

Deno.test("neighbours are the nearest events in order of time", () => {
  const here = event(5, at(30));
  const others = [event(9, at(50)), event(4, at(10)), event(6, at(30))];
  assert.deepEqual(orderedByTime([...others, here], here).map((one) => one.id), [4, 5, 6, 9]);
  assert.deepEqual(others.map((one) => offsetText(one, here)), ["20 s after", "20 s before", "same time"]);
  const many = Array.from({ length: 60 }, (_, number) => event(100 + number, at(number)));
  assert.equal(orderedByTime(many, here).length, 25);
});

Deno.test("times are in the given zone", () => {
  const time = "2026-11-20T23:30:45.123456Z";
  assert.equal(times.clockTime(time, "Europe/Berlin"), "00:30:45");
  assert.equal(times.fullTime(time, "UTC"), "Fri, 20 Nov 2026, 23:30:45 UTC");
  assert.equal(times.dayOf(time, new Date("2026-11-21T08:00:00Z"), "Europe/Berlin"), "Today");
  assert.equal(times.dayOf(time, new Date("2026-11-21T08:00:00Z"), "UTC"), "Yesterday");
  assert.match(times.dayOf(time, new Date("2026-11-25T08:00:00Z"), "UTC"), /^Friday,? 20 November 2026$/);
  assert.equal(times.clockTime("nonsense"), "unknown time");
});

Deno.test("durations and distances in time are short", () => {
  assert.deepEqual([0.42, 12.4, 60, 185, 7800].map(times.duration), [
    "0.4 s",
    "12 s",
    "1 min",
    "3 min 5 s",
    "2 h 10 min",
  ]);
  const moments = ["2026-11-20T11:59:55Z", "2026-11-20T11:50:00Z", "2026-11-20T06:00:00Z", "2026-11-10T12:00:00Z"];
  assert.deepEqual(moments.map((time) => times.ago(time, NOW)), ["5 s ago", "10 min ago", "6 h ago", "10 days ago"]);
  assert.equal(times.ago("2026-11-20T12:00:30Z", NOW), "0 s ago", "the clock of a device may be ahead");
});

Deno.test("a field of date and time survives the round trip through UTC", () => {
  assert.equal(times.fromField(times.toField("2026-07-01T10:30Z")), "2026-07-01T10:30Z");
  assert.deepEqual([times.toField("x"), times.toField(undefined), times.fromField("")], ["", "", ""]);
});

Deno.test("errors of both forms become words", () => {
  const problem = errorOf(404, { type: "urn:vedette:problem:no-snapshot", detail: "This event has no snapshot." }, "5");
  assert.deepEqual([problem.code, problem.message, problem.retryAfterS], [
    "no-snapshot",
    "This event has no snapshot.",
    5,
  ]);
  const enveloped = errorOf(
    409,
    { error: { code: "device-offline", message: "The device is offline.", details: [] } },
    null,
  );
  assert.deepEqual([enveloped.code, enveloped.message], ["device-offline", "The device is offline."]);
  const field = errorOf(422, { type: "x", detail: "d", errors: [{ parameter: "plate", message: "is empty" }] }, null);
  assert.equal(field.message, "plate is empty");
  assert.equal(errorOf(502, null, "Wed, 21 Oct 2026 07:28:00 GMT").message, "The server failed (502).");
  assert.equal(errorOf(502, "<html>", "soon").retryAfterS, null);
});

Deno.test("failures make the pauses longer, up to a minute", () => {
  assert.deepEqual([0, 1, 2, 20].map((failures) => waitMs(2500, failures)), [2500, 5000, 10_000, 60_000]);
});

Deno.test("the image of a snapshot is that of the id in the response", () => {
  assert.equal(imagePath({ data: { id: "a/b" } }), "/snapshots/a%2Fb/image");
});

Deno.test("the summary counts the states that occur", () => {
  assert.equal(summaryText(3, { idle: 0, live: 2, degraded: 0, offline: 1 }), "3 cameras: 2 live, 1 offline");
  assert.equal(summaryText(1, { idle: 0, live: 0, degraded: 0, offline: 0 }), "1 camera");
});

Deno.test("arrow keys follow the rows of a grid", () => {
  const places = [[0, 0], [100, 0], [200, 0], [0, 80], [100, 80]].map(([left = 0, top = 0]) => ({ left, top }));
  assert.deepEqual(["ArrowRight", "ArrowDown", "End", "j"].map((key) => indexAfter(key, 1, places)), [2, 4, 4, 2]);
  assert.deepEqual(["ArrowUp", "ArrowLeft", "Home", "x"].map((key) => indexAfter(key, 4, places)), [1, 3, 0, null]);
  assert.equal(indexAfter("ArrowDown", 2, places), 4, "the last row is shorter");
  assert.deepEqual([indexAfter("ArrowUp", 0, places), indexAfter("ArrowDown", 4, places)], [null, null]);
});
