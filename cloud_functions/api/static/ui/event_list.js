// <vd-event-list>: events as cards or lines, by day. An event that stays keeps its element, and with it the focus.

import { confidenceOf, subtitleOf, titleOf, TYPES } from "../model/event_text.js";
import { clockTime, dayOf } from "../model/times.js";
import { percent } from "../model/values.js";
import { formatState, withParams } from "../model/url_state.js";
import { currentState } from "../app/navigation.js";
import { given, h } from "./dom.js";
import { onListKey } from "./grid_keys.js";
import { icon } from "./icons.js";
import { pictureOf } from "./picture.js";

/** @import { EventResponse } from "../api_types.d.ts" */

export class EventList extends HTMLElement {
  constructor() {
    super();
    this.list = h("ol", { class: "events", "aria-label": "Events, newest first" });
    /** @type {Map<string, HTMLElement>} */
    this.items = new Map();
  }

  connectedCallback() {
    if (this.list.parentNode === this) return;
    this.append(this.list);
    this.addEventListener("keydown", (event) => onListKey(event, [...this.querySelectorAll("a")]));
  }

  /** @param {boolean} asList */
  set asList(asList) {
    this.list.classList.toggle("lines", asList);
  }

  /**
   * Show these events. Those that are new to a list with events are marked for a moment.
   * @param {readonly EventResponse[]} events
   */
  show(events) {
    const isFirst = this.items.size === 0;
    const now = new Date();
    /** @type {Map<string, HTMLElement>} */
    const items = new Map();
    let day = "";
    for (const event of events) {
      const its = dayOf(event.timestamp, now);
      if (its !== day) {
        items.set(`day ${its}`, this.items.get(`day ${its}`) ?? h("li", { class: "day" }, h("h2", {}, its)));
      }
      day = its;
      const key = String(event.id);
      items.set(key, this.items.get(key) ?? cardOf(event, !isFirst));
    }
    for (const [key, item] of this.items) if (!items.has(key)) item.remove();
    let next = this.list.firstChild;
    for (const item of items.values()) {
      if (item === next) next = next.nextSibling;
      else this.list.insertBefore(item, next);
    }
    this.items = items;
    this.renewLinks();
  }

  /** Let each link keep the conditions of the current address. */
  renewLinks() {
    for (const link of this.querySelectorAll("a")) link.setAttribute("href", hrefOf(link.dataset.event ?? ""));
  }
}

/**
 * Return the card of an event: one link, whose text says everything that the picture shows.
 * @param {EventResponse} event
 * @param {boolean} isNew
 */
function cardOf(event, isNew) {
  const subtitle = subtitleOf(event);
  const link = h(
    "a",
    { href: hrefOf(String(event.id)), "data-event": event.id },
    pictureOf(event, "thumbnail"),
    h(
      "span",
      { class: "what" },
      h(
        "span",
        { class: `kind ${event.event_type}`, title: TYPES[event.event_type] ?? event.event_type },
        icon(event.event_type),
      ),
      h("span", { class: event.event_type === "anpr" ? "title plate" : "title" }, given(titleOf(event))),
      h("span", { class: "confidence" }, percent(confidenceOf(event))),
    ),
    h(
      "span",
      { class: "where" },
      h("time", { datetime: event.timestamp }, clockTime(event.timestamp)),
      h("span", { class: "camera" }, given(event.camera_id)),
      subtitle === "" ? null : h("span", { class: "more" }, given(subtitle)),
    ),
  );
  return h("li", { class: isNew ? "new" : null }, link);
}

/** @param {string} id */
function hrefOf(id) {
  return formatState(withParams(currentState(), { event: id }));
}
