// <vd-event-dialog>: one event, large: picture, facts, plate, data, and what the same camera saw just before and after.

import { addressOf, requestJson } from "../app/api.js";
import { change, close, currentState } from "../app/navigation.js";
import { confidenceOf, factsOf, plateOf, subtitleOf, titleOf, TYPES } from "../model/event_text.js";
import { neighbourQuery, offsetText, orderedByTime } from "../model/neighbours.js";
import { fullTime } from "../model/times.js";
import { formatState, withParams } from "../model/url_state.js";
import { percent } from "../model/values.js";
import { fill, given, h, setAttribute } from "../ui/dom.js";
import { icon } from "../ui/icons.js";
import { errorLine } from "../ui/messages.js";
import { pictureOf } from "../ui/picture.js";

/** @import { EventListResponse, EventResponse } from "../api_types.d.ts" */

export class EventDialog extends HTMLElement {
  constructor() {
    super();
    this.shown = "";
    /** @type {AbortController | null} */
    this.controller = null;
    /** @type {EventResponse[]} */
    this.neighbours = [];
    this.title_ = h("h1", { id: "event-title", tabindex: -1, autofocus: true });
    this.when = h("p", { class: "when" });
    this.content = h("div", { class: "content" });
    this.strip = h("div", { class: "strip" });
    this.earlier = h("button", {
      type: "button",
      class: "icon-only",
      "aria-label": "Earlier event of this camera",
      onclick: () => this.step(-1),
    }, icon("previous"));
    this.later = h("button", {
      type: "button",
      class: "icon-only",
      "aria-label": "Later event of this camera",
      onclick: () => this.step(1),
    }, icon("next"));
    const shut = h("button", {
      type: "button",
      class: "icon-only",
      "aria-label": "Close",
      onclick: () => close("event"),
    }, icon("close"));
    this.dialog = h(
      "dialog",
      {
        class: "event",
        "aria-labelledby": "event-title",
        oncancel: (event) => this.onCancel(event),
        onclick: (event) => this.onClick(event),
      },
      h("div", { class: "head" }, h("div", { class: "names" }, this.title_, this.when), this.earlier, this.later, shut),
      this.content,
      this.strip,
    );
    this.dialog.addEventListener("keydown", (event) => this.onKey(event));
  }

  connectedCallback() {
    if (this.dialog.parentNode !== this) this.append(this.dialog);
  }

  /**
   * Show the event with this id; close the dialog for the empty text.
   * @param {string} id
   */
  update(id) {
    if (id === this.shown) return;
    this.shown = id;
    this.controller?.abort();
    if (id === "") {
      if (this.dialog.open) this.dialog.close();
      fill(this.content);
      fill(this.strip);
      return;
    }
    this.neighbours = [];
    if (!this.dialog.open) this.dialog.showModal();
    this.load(id);
  }

  /** @param {string} id */
  async load(id) {
    const controller = new AbortController();
    this.controller = controller;
    const options = { signal: controller.signal };
    this.dialog.setAttribute("aria-busy", "true");
    try {
      /** @type {EventResponse} */
      const event = await requestJson("GET", `/events/${encodeURIComponent(id)}`, options);
      this.showEvent(event);
      /** @type {EventListResponse} */
      const around = await requestJson("GET", "/events", { query: neighbourQuery(event), ...options });
      this.showNeighbours(event, orderedByTime(around.events, event));
    } catch (error) {
      if (controller.signal.aborted) return;
      if (this.title_.textContent === "" || this.content.childElementCount === 0) fill(this.title_, "Event");
      fill(this.content, errorLine(error));
      this.showNeighbours(null, []);
    } finally {
      if (!controller.signal.aborted) this.dialog.removeAttribute("aria-busy");
    }
  }

  /** @param {EventResponse} event */
  showEvent(event) {
    const title = titleOf(event);
    fill(
      this.title_,
      h("span", { class: `kind ${event.event_type}` }, icon(event.event_type)),
      h("span", {}, given(title)),
    );
    fill(this.when, h("time", { datetime: event.timestamp }, fullTime(event.timestamp)), " · ", given(event.camera_id));
    const alt = `${TYPES[event.event_type] ?? "Event"} picture of camera ${event.camera_id}: ${title}`;
    const plate = event.event_type === "anpr" ? plateOf(event.event_data) : null;
    const facts = h(
      "div",
      { class: "facts" },
      plate === null ? null : h("p", { class: "number-plate" }, given(plate)),
      plate === null ? null : plateLink(plate),
      h("p", { class: "sub" }, given([subtitleOf(event), percent(confidenceOf(event))].filter(Boolean).join(" · "))),
      h("dl", {}, ...factsOf(event).flatMap(({ label, value }) => [h("dt", {}, label), h("dd", {}, given(value))])),
      download(event),
      h(
        "details",
        { class: "raw" },
        h("summary", {}, "Data as the device sent it"),
        h("pre", { tabindex: 0 }, JSON.stringify(event, null, 2)),
      ),
    );
    fill(this.content, h("div", { class: "large" }, pictureOf(event, "snapshot", alt)), facts);
  }

  /**
   * @param {EventResponse | null} event
   * @param {EventResponse[]} neighbours
   */
  showNeighbours(event, neighbours) {
    this.neighbours = neighbours;
    const at = neighbours.findIndex((one) => one.id === event?.id);
    // Not `disabled`: a button that has the focus would lose it.
    this.earlier.setAttribute("aria-disabled", String(at <= 0));
    this.later.setAttribute("aria-disabled", String(at < 0 || at >= neighbours.length - 1));
    if (event === null || neighbours.length < 2) {
      fill(this.strip);
      return;
    }
    const items = neighbours.map((one) => {
      const href = formatState(withParams(currentState(), { event: String(one.id) }));
      const onclick = (/** @type {Event} */ click) => this.onNeighbour(click, one);
      const link = h(
        "a",
        { href, onclick, "aria-current": one.id === event.id ? "true" : null },
        pictureOf(one, "thumbnail"),
        h("span", {}, given(titleOf(one))),
        h("span", { class: "offset" }, offsetText(one, event)),
      );
      return h("li", {}, link);
    });
    fill(this.strip, h("h2", {}, "The same camera, before and after"), h("ol", {}, ...items));
    const current = this.strip.querySelector("[aria-current]");
    current?.scrollIntoView({ block: "nearest", inline: "center" });
  }

  /** @param {number} by */
  step(by) {
    const at = this.neighbours.findIndex((event) => String(event.id) === this.shown || event.event_id === this.shown);
    const next = at < 0 ? undefined : this.neighbours[at + by];
    if (next !== undefined) change({ event: String(next.id) }, { replace: true });
  }

  /**
   * @param {Event} click
   * @param {EventResponse} event
   */
  onNeighbour(click, event) {
    if (!(click instanceof MouseEvent) || click.ctrlKey || click.metaKey || click.shiftKey) return;
    click.preventDefault();
    change({ event: String(event.id) }, { replace: true });
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    const target = /** @type {Element} */ (event.target);
    if (target.closest("pre") !== null || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    event.preventDefault();
    this.step(event.key === "ArrowLeft" ? -1 : 1);
  }

  /** @param {Event} event */
  onCancel(event) {
    event.preventDefault();
    close("event");
  }

  /** @param {Event} event  a click beside the dialog is one on its backdrop */
  onClick(event) {
    if (event.target === this.dialog) close("event");
  }
}

/** @param {EventResponse} event */
function download(event) {
  if (event.snapshot_path === null) return null;
  const href = addressOf(`/events/${event.id}/snapshot`);
  const link = h("a", { class: "button", href }, icon("download"), "Download the picture");
  setAttribute(link, "download", true);
  return h("p", {}, link);
}

/** @param {string} plate */
function plateLink(plate) {
  const href = formatState({ view: "plates", params: { plate } });
  return h("p", {}, h("a", { href }, "All reads of this plate"));
}
