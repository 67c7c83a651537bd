// <vd-plates>: search for number plates, and the history of one.

import { ApiError, requestJson } from "../app/api.js";
import { change } from "../app/navigation.js";
import { platePage } from "../model/event_query.js";
import { dateAndTime, fullTime, RANGES } from "../model/times.js";
import { formatState, withParams } from "../model/url_state.js";
import { grouped, percent } from "../model/values.js";
import { fill, given, h, setText } from "../ui/dom.js";
import { onListKey } from "../ui/grid_keys.js";
import { icon } from "../ui/icons.js";
import { errorLine, message } from "../ui/messages.js";
import { pictureOf } from "../ui/picture.js";
import { reportConnection, View } from "./view.js";

/** @import { FoundPlateResponse, PlateHistoryResponse, PlateListResponse } from "../api_types.d.ts" */
/** @import { State } from "../model/url_state.js" */

const MATCHES = { exact: "The whole plate", prefix: "Its beginning", fuzzy: "Similar plates" };

export class Plates extends View {
  constructor() {
    super();
    this.shown = "";
    /** @type {AbortController | null} */
    this.controller = null;
    this.plate = h("input", {
      id: "plate-text",
      type: "search",
      maxlength: 64,
      placeholder: "AB-123-CD",
      autocomplete: "off",
      spellcheck: "false",
    });
    this.match = h("select", { id: "plate-match" });
    this.last = h("select", { id: "plate-last" });
    this.totals = h("p", { class: "totals", role: "status" });
    this.history = h("div", { class: "history" });
    this.notice = h("div", { class: "notice" });
    this.list = h("ol", { class: "plates", "aria-label": "Reads" });
    this.pages = h("nav", { class: "pages", "aria-label": "Pages of reads" });
  }

  connectedCallback() {
    fill(this.match, ...Object.entries(MATCHES).map(([value, label]) => h("option", { value }, label)));
    const ranges = Object.entries(RANGES).map(([value, range]) => h("option", { value }, range.label));
    fill(this.last, h("option", { value: "" }, "Any time"), ...ranges);
    const form = h(
      "form",
      { class: "inline search", role: "search", "aria-label": "Plates", onsubmit: (event) => this.onSubmit(event) },
      h("label", { for: "plate-text" }, "Plate"),
      this.plate,
      h("label", { for: "plate-match" }, "Match"),
      this.match,
      h("label", { for: "plate-last" }, "Time"),
      this.last,
      h("button", { class: "primary", type: "submit" }, icon("search"), "Search"),
    );
    this.list.addEventListener("keydown", (event) => onListKey(event, [...this.list.querySelectorAll("a")]));
    const bar = h("div", { class: "bar" }, this.totals);
    fill(
      this,
      h("h1", { class: "visually-hidden" }, "Plates"),
      form,
      this.history,
      bar,
      this.notice,
      this.list,
      this.pages,
    );
  }

  disconnectedCallback() {
    this.controller?.abort();
  }

  /**
   * @override
   * @param {State} state
   */
  update(state) {
    const { params } = state;
    const selection = formatState(withParams(state, { event: "", login: "" }));
    for (const link of this.list.querySelectorAll("a")) {
      link.setAttribute("href", hrefOf(state, link.dataset.event ?? ""));
    }
    if (selection === this.shown) return;
    this.shown = selection;
    this.plate.value = params.plate ?? "";
    this.match.value = params.match ?? "exact";
    this.last.value = params.last ?? "";
    this.load(state);
  }

  /** @param {State} state */
  async load(state) {
    this.controller?.abort();
    const controller = new AbortController();
    this.controller = controller;
    const { signal } = controller;
    fill(this.notice, h("p", { class: "loading" }, "Searching …"));
    try {
      /** @type {PlateListResponse} */
      const page = await requestJson("GET", "/plates", { query: platePage(state.params, new Date()), signal });
      reportConnection(null);
      this.showPage(page, state);
      await this.loadHistory(state, page, signal);
    } catch (error) {
      if (signal.aborted) return;
      reportConnection(error);
      for (const part of [this.list, this.pages, this.history]) fill(part);
      setText(this.totals, "");
      fill(this.notice, errorLine(error));
    }
  }

  /**
   * @param {State} state
   * @param {PlateListResponse} page
   * @param {AbortSignal} signal
   */
  async loadHistory(state, page, signal) {
    fill(this.history);
    const isOne = state.params.plate && (state.params.match ?? "exact") === "exact" && !state.params.cursor &&
      page.total > 0;
    if (!isOne) return;
    try {
      const path = `/plates/${encodeURIComponent(state.params.plate ?? "")}`;
      this.showHistory(await requestJson("GET", path, { query: { limit: "1" }, signal }));
    } catch (error) {
      if (!(error instanceof ApiError) || error.status >= 500) throw error; // else there is no history to show
    }
  }

  /** @param {PlateHistoryResponse} history */
  showHistory(history) {
    const cameras = history.cameras.map((camera) => `${camera.camera_id} (${grouped(camera.events)})`).join(", ");
    const facts = [
      ["Reads", grouped(history.total_events)],
      ["First", fullTime(history.first_seen)],
      ["Last", fullTime(history.last_seen)],
      ["Confidence", percent(history.avg_confidence)],
      ["Cameras", cameras],
    ];
    const list = facts.flatMap(([label, value]) => [h("dt", {}, label), h("dd", {}, given(value ?? ""))]);
    fill(this.history, h("p", { class: "number-plate" }, given(history.plate_normalized_text)), h("dl", {}, ...list));
  }

  /**
   * @param {PlateListResponse} page
   * @param {State} state
   */
  showPage(page, state) {
    fill(this.list, ...page.plates.map((plate) => lineOf(plate, state)));
    const reads = page.total === 1 ? "1 read" : `${grouped(page.total)} reads`;
    setText(this.totals, state.params.plate ? `${reads} found` : reads);
    fill(this.notice, page.total === 0 ? emptyMessage(state) : null);
    const older = formatState(withParams(state, { cursor: page.next_cursor ?? "", event: "" }));
    const newest = formatState(withParams(state, { cursor: "", event: "" }));
    fill(
      this.pages,
      state.params.cursor ? h("a", { class: "button", href: newest }, icon("previous"), "First page") : null,
      page.has_more && page.next_cursor ? h("a", { class: "button", href: older }, "More reads", icon("next")) : null,
    );
  }

  /** @param {Event} event */
  onSubmit(event) {
    event.preventDefault();
    change({
      plate: this.plate.value.trim(),
      match: this.match.value === "exact" ? "" : this.match.value,
      last: this.last.value,
      cursor: "",
    });
  }
}

/**
 * @param {FoundPlateResponse} plate
 * @param {State} state
 */
function lineOf(plate, state) {
  const vehicle = [plate.vehicle_color, plate.vehicle_type, plate.vehicle_make, plate.direction].filter(Boolean).join(
    " · ",
  );
  const distance = plate.edit_distance
    ? `${plate.edit_distance} ${plate.edit_distance === 1 ? "change" : "changes"}`
    : null;
  const number = plate.plate_text === null
    ? h("span", { class: "number-plate protected" }, icon("lock"), "Protected")
    : h("span", { class: "number-plate" }, given(plate.plate_text));
  const link = h(
    "a",
    { href: hrefOf(state, String(plate.id)), "data-event": plate.id },
    pictureOf({ id: plate.id, snapshot_path: plate.vehicle_image_key }, "thumbnail"),
    number,
    h("span", { class: "region" }, plate.region === null ? null : given(plate.region.toUpperCase())),
    h("time", { datetime: plate.captured_at }, dateAndTime(plate.captured_at)),
    h("span", { class: "camera" }, given(plate.camera_id)),
    h("span", { class: "more" }, given(vehicle)),
    h("span", { class: "confidence" }, [distance, percent(plate.confidence)].filter(Boolean).join(" · ")),
  );
  return h("li", {}, link);
}

/**
 * @param {State} state
 * @param {string} event
 */
function hrefOf(state, event) {
  return formatState(withParams(state, { event }));
}

/** @param {State} state */
function emptyMessage(state) {
  if (!state.params.plate && !state.params.last) {
    return message(
      "anpr",
      "No plates yet",
      h("p", {}, "They appear here when a camera that reads plates has read one."),
    );
  }
  const hint = (state.params.match ?? "exact") === "fuzzy"
    ? null
    : h("p", {}, "Match “Similar plates” finds misread ones.");
  return message("search", "No read matches", hint);
}
