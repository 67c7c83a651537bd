// <vd-camera-card>: a camera with its newest picture, its state, and a button that asks it for a picture now.

import { requestJson } from "../app/api.js";
import { takeSnapshot } from "../app/snapshots.js";
import { cameraDetails, stateReason, STATES } from "../model/camera_text.js";
import { ago, fullTime } from "../model/times.js";
import { formatState } from "../model/url_state.js";
import { fill, given, h, setText } from "../ui/dom.js";
import { icon } from "../ui/icons.js";
import { errorText } from "../ui/messages.js";
import { pictureOf } from "../ui/picture.js";

/** @import { CameraResponse, EventListResponse } from "../api_types.d.ts" */
/** @import { Picture } from "../ui/picture.js" */

const NEAR = "200px";

export class CameraCard extends HTMLElement {
  constructor() {
    super();
    this.slug = "";
    this.frame = h("div", { class: "frame" });
    this.name_ = h("h2");
    this.state = h("p", { class: "state" });
    this.details = h("p", { class: "details" });
    this.seen = h("p", { class: "seen" });
    this.button = h(
      "button",
      { type: "button", hidden: true, onclick: () => this.onSnapshot() },
      icon("snapshot"),
      "Snapshot now",
    );
    this.result = h("p", { class: "result", role: "status" });
    this.controller = new AbortController();
    /** @type {IntersectionObserver | null} */
    this.observer = null;
  }

  connectedCallback() {
    if (this.frame.parentNode === this) return;
    const text = h(
      "div",
      { class: "text" },
      h("div", { class: "line" }, this.name_, this.state),
      this.details,
      this.seen,
    );
    this.append(this.frame, text, h("div", { class: "actions" }, this.button, this.result));
    this.observer = new IntersectionObserver((entries) => this.onIntersection(entries), { rootMargin: NEAR });
    this.observer.observe(this);
  }

  disconnectedCallback() {
    this.observer?.disconnect();
    this.controller.abort();
  }

  /**
   * Show a camera that is managed here.
   * @param {CameraResponse} camera
   * @param {{ maySnapshot: boolean }} access
   */
  show(camera, { maySnapshot }) {
    this.slug = camera.slug;
    this.button.hidden = !maySnapshot || !camera.is_active || camera.device_id === null;
    this.showName(camera.name, camera.slug);
    this.showState(camera.status, stateReason(camera));
    fill(this.details, given(cameraDetails(camera)));
    const seen = camera.last_connected;
    fill(
      this.seen,
      seen === null ? null : h("time", { datetime: seen, title: fullTime(seen) }, `Connected ${ago(seen, new Date())}`),
    );
  }

  /**
   * Show a camera that is known by its events alone.
   * @param {string} slug
   */
  showUnmanaged(slug) {
    this.slug = slug;
    this.showName(slug, slug);
    this.showState("unmanaged", null);
    fill(this.details, "Known by its events; not set up in the API");
  }

  /**
   * @param {string} name
   * @param {string} slug
   */
  showName(name, slug) {
    const href = formatState({ view: "events", params: { camera: slug } });
    fill(this.name_, h("a", { href }, given(name)));
  }

  /**
   * @param {string} status
   * @param {string | null} reason
   */
  showState(status, reason) {
    this.state.dataset.state = status;
    fill(
      this.state,
      h("span", { class: "dot" }),
      STATES[status] ?? "Unmanaged",
      reason === null ? null : ` (${reason.toLowerCase()})`,
    );
  }

  /** @param {IntersectionObserverEntry[]} entries */
  onIntersection(entries) {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    this.observer?.disconnect();
    this.loadNewest();
  }

  async loadNewest() {
    try {
      const query = { camera_id: this.slug, page_size: "12" };
      /** @type {EventListResponse} */
      const page = await requestJson("GET", "/events", { query, signal: this.controller.signal });
      const event = page.events.find((one) => one.snapshot_path !== null);
      if (this.frame.childElementCount > 0) return; // a snapshot was faster
      fill(
        this.frame,
        pictureOf(event ?? { id: 0, snapshot_path: null }, "thumbnail", `Newest picture of ${this.slug}`),
      );
      const newest = page.events[0];
      if (newest !== undefined) {
        const time = h(
          "time",
          { datetime: newest.timestamp, title: fullTime(newest.timestamp) },
          ago(newest.timestamp, new Date()),
        );
        fill(this.seen, "Last event ", time);
      }
    } catch (error) {
      if (!this.controller.signal.aborted) setText(this.seen, errorText(error));
    }
  }

  async onSnapshot() {
    this.button.disabled = true;
    setText(this.result, "Asking the camera …");
    try {
      const path = await takeSnapshot(this.slug, this.controller.signal);
      const picture = /** @type {Picture} */ (document.createElement("vd-picture"));
      picture.path = path;
      picture.alt = `Picture of ${this.slug}, just taken`;
      fill(this.frame, picture);
      setText(this.result, "Taken just now");
    } catch (error) {
      if (!this.controller.signal.aborted) setText(this.result, errorText(error));
    } finally {
      this.button.disabled = false;
    }
  }
}
