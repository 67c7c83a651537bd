// <vd-events>: the newest events as they come, with conditions; older pages by cursor.

import { requestJson } from "../app/api.js";
import { change, currentState } from "../app/navigation.js";
import { Poller } from "../app/poller.js";
import { mergeFirstPage } from "../model/event_list.js";
import { eventConditions, eventPage } from "../model/event_query.js";
import { ago } from "../model/times.js";
import { countFilters, formatState, withParams } from "../model/url_state.js";
import { grouped } from "../model/values.js";
import { fill, h, setAttribute, setText } from "../ui/dom.js";
import { icon } from "../ui/icons.js";
import { errorLine, message } from "../ui/messages.js";
import { reportConnection, View } from "./view.js";

/** @import { EventListResponse, EventResponse, EventStatisticsResponse } from "../api_types.d.ts" */
/** @import { State } from "../model/url_state.js" */
/** @import { EventFilters } from "./event_filters.js" */
/** @import { EventList } from "../ui/event_list.js" */

const EVENTS_MS = 2500;
const TOTALS_MS = 10_000;
/** Parameters that do not change which events are shown. */
const OTHERS = { event: "", login: "", as: "", live: "" };

export class Events extends View {
  constructor() {
    super();
    /** @type {EventResponse[]} */
    this.events = [];
    /** The address whose events are shown, without what does not select any. */
    this.shown = "";
    this.eventsPoller = new Poller((signal) => this.readEvents(signal), EVENTS_MS);
    this.totalsPoller = new Poller((signal) => this.readTotals(signal), TOTALS_MS);
    this.filters = /** @type {EventFilters} */ (document.createElement("vd-event-filters"));
    this.list = /** @type {EventList} */ (document.createElement("vd-event-list"));
    this.totals = h("p", { class: "totals" });
    this.news = h("p", { class: "visually-hidden", role: "status" });
    this.live = h("button", { type: "button", class: "live", onclick: () => this.onLive() });
    this.layout = h("button", { type: "button", class: "icon-only", onclick: () => this.onLayout() });
    this.notice = h("div", { class: "notice" });
    this.pages = h("nav", { class: "pages", "aria-label": "Pages of events" });
  }

  connectedCallback() {
    const bar = h("div", { class: "bar" }, this.totals, h("div", { class: "tools" }, this.live, this.layout));
    const content = h("section", { "aria-label": "Events" }, bar, this.notice, this.list, this.pages, this.news);
    fill(this, h("h1", { class: "visually-hidden" }, "Events"), this.filters, content);
  }

  disconnectedCallback() {
    this.eventsPoller.stop();
    this.totalsPoller.stop();
  }

  /**
   * @override
   * @param {State} state
   */
  update(state) {
    const { params } = state;
    this.filters.update(state);
    this.list.asList = params.as === "list";
    this.list.renewLinks();
    this.showTools(state);
    const selection = formatState(withParams(state, OTHERS));
    if (selection === this.shown) return;
    this.shown = selection;
    this.events = [];
    this.list.show([]);
    fill(this.notice, h("p", { class: "loading" }, "Loading …"));
    fill(this.pages);
    this.eventsPoller.start();
    this.totalsPoller.start();
  }

  /** @param {AbortSignal} signal */
  async readEvents(signal) {
    const state = currentState();
    const isPaused = state.params.live === "off" || state.params.cursor;
    if (isPaused && this.events.length > 0) return;
    try {
      const query = eventPage(state.params, new Date());
      /** @type {EventListResponse} */
      const page = await requestJson("GET", "/events", { query, signal });
      reportConnection(null);
      this.showPage(page, state);
    } catch (error) {
      if (signal.aborted) return;
      reportConnection(error);
      if (this.events.length === 0) fill(this.notice, errorLine(error));
      throw error;
    }
  }

  /**
   * @param {EventListResponse} page
   * @param {State} state
   */
  showPage(page, state) {
    const isFirst = this.events.length === 0;
    const { events, added } = mergeFirstPage(this.events, page.events);
    this.events = events;
    this.list.show(events);
    fill(this.notice, page.total === 0 ? emptyMessage(state) : null);
    if (!isFirst && added > 0) setText(this.news, added === 1 ? "1 new event" : `${added} new events`);
    this.showTotals(page, state);
    if (isFirst || state.params.cursor) this.showPages(page, state);
  }

  /**
   * @param {EventListResponse} page
   * @param {State} state
   */
  showTotals(page, state) {
    const events = page.total === 1 ? "1 event" : `${grouped(page.total)} events`;
    const newest = page.events[0];
    const parts = [countFilters(state.params) === 0 ? events : `${events} found`];
    if (newest !== undefined && !state.params.cursor) parts.push(`newest ${ago(newest.timestamp, new Date())}`);
    setText(this.totals, parts.join(", "));
  }

  /**
   * @param {EventListResponse} page
   * @param {State} state
   */
  showPages(page, state) {
    const toNewest = formatState(withParams(state, { cursor: "", event: "" }));
    const older = formatState(withParams(state, { cursor: page.next_cursor ?? "", event: "" }));
    const newest = state.params.cursor
      ? h("a", { class: "button", href: toNewest }, icon("previous"), "Newest events")
      : null;
    fill(
      this.pages,
      newest,
      page.has_more ? h("a", { class: "button", href: older }, "Older events", icon("next")) : null,
    );
  }

  /** @param {AbortSignal} signal */
  async readTotals(signal) {
    const { type: _, ...params } = currentState().params;
    const query = eventConditions(params, new Date());
    /** @type {EventStatisticsResponse} */
    const totals = await requestJson("GET", "/events/stats", { query, signal });
    this.filters.showCounts(totals.events_by_type, Object.keys(totals.events_by_camera));
  }

  /** @param {State} state */
  showTools({ params }) {
    const isLive = params.live !== "off";
    this.live.hidden = Boolean(params.cursor);
    setAttribute(this.live, "aria-pressed", String(isLive));
    fill(this.live, h("span", { class: "dot" }), isLive ? "Live" : "Paused", icon(isLive ? "pause" : "play"));
    setAttribute(this.live, "aria-label", "Live: new events appear as they come");
    const isList = params.as === "list";
    setAttribute(this.layout, "aria-label", isList ? "Show as pictures" : "Show as lines");
    setAttribute(this.layout, "title", isList ? "Show as pictures" : "Show as lines");
    fill(this.layout, icon(isList ? "grid" : "list"));
  }

  onLive() {
    const isLive = currentState().params.live !== "off";
    change({ live: isLive ? "off" : "" }, { replace: true });
    if (!isLive) this.eventsPoller.now();
  }

  onLayout() {
    change({ as: currentState().params.as === "list" ? "" : "list" }, { replace: true });
  }
}

/** @param {State} state */
function emptyMessage(state) {
  if (countFilters(state.params) === 0) {
    return message("camera", "No events yet", h("p", {}, "They appear here as soon as a camera reports something."));
  }
  return message(
    "search",
    "No event matches",
    h("p", {}, h("a", { href: "#/events" }, "Clear all filters"), " to see every event."),
  );
}
