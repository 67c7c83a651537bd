// <vd-cameras>: the cameras and their states.

import { requestJson } from "../app/api.js";
import { change } from "../app/navigation.js";
import { Poller } from "../app/poller.js";
import { may } from "../app/session.js";
import { STATES, summaryText } from "../model/camera_text.js";
import { formatState, withParams } from "../model/url_state.js";
import { fill, h, setText } from "../ui/dom.js";
import { errorLine, message } from "../ui/messages.js";
import { reportConnection, View } from "./view.js";

/** @import { CameraListEnvelope, EventStatisticsResponse, SessionResponse, SummaryEnvelope } from "../api_types.d.ts" */
/** @import { State } from "../model/url_state.js" */
/** @import { CameraCard } from "./camera_card.js" */

const INTERVAL_MS = 5000;
const PAGE_SIZE = 24;

export class Cameras extends View {
  constructor() {
    super();
    /** @type {State} */
    this.state = { view: "cameras", params: {} };
    this.maySnapshot = false;
    this.shown = "";
    this.poller = new Poller((signal) => this.read(signal), INTERVAL_MS);
    /** @type {Map<string, CameraCard>} */
    this.cards = new Map();
    this.search = h("input", {
      id: "camera-search",
      type: "search",
      maxlength: 100,
      placeholder: "Name or place",
      autocomplete: "off",
    });
    this.status = h("select", { id: "camera-status" });
    this.totals = h("p", { class: "totals" });
    this.notice = h("div", { class: "notice" });
    this.list = h("ul", { class: "cameras", "aria-label": "Cameras" });
    this.pages = h("nav", { class: "pages", "aria-label": "Pages of cameras" });
  }

  connectedCallback() {
    const options = Object.entries(STATES).map(([value, label]) => h("option", { value }, label));
    fill(this.status, h("option", { value: "" }, "Any state"), ...options);
    const form = h(
      "form",
      {
        class: "inline",
        role: "search",
        "aria-label": "Cameras",
        onchange: () => this.apply(),
        onsubmit: (event) => this.onSubmit(event),
      },
      h("label", { for: "camera-search" }, "Search"),
      this.search,
      h("label", { for: "camera-status" }, "State"),
      this.status,
    );
    const bar = h("div", { class: "bar" }, this.totals, form);
    fill(this, h("h1", { class: "visually-hidden" }, "Cameras"), bar, this.notice, this.list, this.pages);
  }

  disconnectedCallback() {
    this.poller.stop();
  }

  /**
   * @override
   * @param {State} state
   * @param {SessionResponse} session
   */
  update(state, session) {
    this.state = state;
    this.maySnapshot = may(session, "cameras:read");
    this.search.value = state.params.search ?? "";
    this.status.value = state.params.status ?? "";
    const selection = formatState(withParams(state, { event: "", login: "" }));
    if (selection === this.shown) return;
    this.shown = selection;
    fill(this.notice, h("p", { class: "loading" }, "Loading …"));
    this.poller.start();
  }

  /** @param {AbortSignal} signal */
  async read(signal) {
    const { search = "", status = "", page = "1" } = this.state.params;
    /** @type {Record<string, string>} */
    const query = { page, page_size: String(PAGE_SIZE) };
    if (search) query.search = search;
    if (status) query.status = status;
    try {
      /** @type {[CameraListEnvelope, SummaryEnvelope, EventStatisticsResponse]} */
      const [cameras, summary, events] = await Promise.all([
        requestJson("GET", "/cameras", { query, signal }),
        requestJson("GET", "/cameras/summary", { signal }),
        requestJson("GET", "/events/stats", { signal }),
      ]);
      reportConnection(null);
      const isAll = cameras.meta.totalPages <= 1 && !search && !status;
      const slugs = new Set(cameras.data.map((camera) => camera.slug));
      const unmanaged = isAll ? Object.keys(events.events_by_camera).filter((slug) => !slugs.has(slug)) : [];
      this.showCameras(cameras, unmanaged.sort());
      setText(this.totals, summaryText(summary.data.total, summary.data.by_status));
    } catch (error) {
      if (signal.aborted) return;
      reportConnection(error);
      if (this.cards.size === 0) fill(this.notice, errorLine(error));
      throw error;
    }
  }

  /**
   * @param {CameraListEnvelope} cameras
   * @param {string[]} unmanaged
   */
  showCameras(cameras, unmanaged) {
    /** @type {Map<string, CameraCard>} */
    const cards = new Map();
    for (const camera of cameras.data) {
      const card = this.cardOf(camera.slug);
      card.show(camera, { maySnapshot: this.maySnapshot });
      cards.set(camera.slug, card);
    }
    for (const slug of unmanaged) {
      const card = this.cardOf(slug);
      card.showUnmanaged(slug);
      cards.set(slug, card);
    }
    const isSame = [...cards.keys()].join("\n") === [...this.cards.keys()].join("\n");
    if (!isSame) fill(this.list, ...[...cards.values()].map((card) => h("li", {}, card)));
    this.cards = cards;
    fill(this.notice, cards.size === 0 ? this.emptyMessage() : null);
    this.showPages(cameras.meta.page, cameras.meta.totalPages);
  }

  /** @param {string} slug */
  cardOf(slug) {
    return this.cards.get(slug) ?? /** @type {CameraCard} */ (document.createElement("vd-camera-card"));
  }

  emptyMessage() {
    if (this.state.params.search || this.state.params.status) {
      return message("search", "No camera matches", h("p", {}, h("a", { href: "#/cameras" }, "Show all cameras")));
    }
    return message(
      "camera",
      "No cameras yet",
      h("p", {}, "Create one with POST /api/v1/cameras, or start an agent that sends events."),
    );
  }

  /**
   * @param {number} page
   * @param {number} pages
   */
  showPages(page, pages) {
    const link = (/** @type {number} */ to, /** @type {string} */ label) =>
      h("a", { class: "button", href: formatState(withParams(this.state, { page: String(to) })) }, label);
    fill(
      this.pages,
      page > 1 ? link(page - 1, "Previous") : null,
      pages > 1 ? h("span", {}, `Page ${page} of ${pages}`) : null,
      page < pages ? link(page + 1, "Next") : null,
    );
  }

  apply() {
    change({ search: this.search.value.trim(), status: this.status.value, page: "" });
  }

  /** @param {Event} event */
  onSubmit(event) {
    event.preventDefault();
    this.apply();
  }
}
