// <vd-picture>: the picture of an event, loaded when it comes near the window, and asked for again while it is pending.

import { ApiError, requestImage } from "../app/api.js";
import { fill, h } from "./dom.js";
import { icon } from "./icons.js";

const NEAR = "300px";
const ATTEMPTS = 24;
const RETRY_S = 5;

/** What is shown in place of a picture, by the code of the error. @type {Readonly<Record<string, [string, string]>>} */
const REASONS = {
  "no-snapshot": ["nothing", "No picture"],
  "snapshot-pending": ["pending", "Picture pending"],
  "snapshot-gone": ["nothing", "Picture deleted"],
  "event-not-found": ["nothing", "Event deleted"],
  "plates-protected": ["lock", "Protected"],
  forbidden: ["lock", "No permission"],
  offline: ["warning", "No connection"],
  "too-large-here": ["download", "Too large to show"],
};

export class Picture extends HTMLElement {
  constructor() {
    super();
    /** The path of the image; empty for none. */
    this.path = "";
    this.alt = "";
    /** @type {RequestPriority} */
    this.priority = "low";
    /** @type {AbortController | null} */
    this.controller = null;
    /** @type {IntersectionObserver | null} */
    this.observer = null;
    /** @type {string | null} */
    this.address = null;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
  }

  connectedCallback() {
    if (this.address !== null || this.dataset.state === "none") return;
    if (this.path === "") {
      this.showReason("no-snapshot");
      return;
    }
    this.dataset.state = "loading";
    this.observer = new IntersectionObserver((entries) => this.onIntersection(entries), { rootMargin: NEAR });
    this.observer.observe(this);
  }

  disconnectedCallback() {
    this.observer?.disconnect();
    this.controller?.abort();
    clearTimeout(this.timer);
    if (this.address !== null) URL.revokeObjectURL(this.address);
    this.address = null;
    if (this.dataset.state !== "none") fill(this);
  }

  /** @param {IntersectionObserverEntry[]} entries */
  onIntersection(entries) {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    this.observer?.disconnect();
    this.load(1);
  }

  /** @param {number} attempt */
  async load(attempt) {
    const controller = new AbortController();
    this.controller = controller;
    try {
      const image = await requestImage(this.path, { signal: controller.signal, priority: this.priority });
      if (!controller.signal.aborted) this.show(image);
    } catch (error) {
      if (controller.signal.aborted) return;
      const code = error instanceof ApiError ? error.code : "offline";
      this.showReason(code);
      if (attempt < ATTEMPTS && (code === "snapshot-pending" || code === "offline")) {
        const waitS = (error instanceof ApiError ? error.retryAfterS : null) ?? RETRY_S;
        this.timer = setTimeout(() => this.load(attempt + 1), waitS * 1000);
      }
    }
  }

  /** @param {Blob} image */
  show(image) {
    this.address = URL.createObjectURL(image);
    fill(this, h("img", { src: this.address, alt: this.alt, decoding: "async" }));
    this.dataset.state = "shown";
  }

  /** @param {string} code */
  showReason(code) {
    const [name, words] = REASONS[code] ?? ["warning", "Picture unavailable"];
    fill(this, h("span", { class: "reason" }, icon(name), h("span", {}, words)));
    this.dataset.state = code === "no-snapshot" ? "none" : "missing";
  }
}

/**
 * Return the picture of an event.
 * @param {{ id: number, snapshot_path: string | null }} event
 * @param {"thumbnail" | "snapshot"} kind
 * @param {string} [alt]  empty where the text beside it says the same
 * @returns {Picture}
 */
export function pictureOf(event, kind, alt = "") {
  const picture = /** @type {Picture} */ (document.createElement("vd-picture"));
  picture.path = event.snapshot_path === null ? "" : `/events/${event.id}/${kind}`;
  picture.alt = alt;
  picture.priority = kind === "snapshot" ? "high" : "low";
  return picture;
}
