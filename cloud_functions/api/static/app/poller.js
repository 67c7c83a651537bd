// Repeats a request while the page is visible; waits longer after failures.

import { ApiError } from "./api.js";

const MAX_WAIT_MS = 60_000;

/**
 * Return how long to wait before the next request.
 * @param {number} intervalMs
 * @param {number} failures  in a row
 * @returns {number}
 */
export function waitMs(intervalMs, failures) {
  return Math.min(intervalMs * 2 ** Math.min(failures, 10), Math.max(intervalMs, MAX_WAIT_MS));
}

/** Calls `task` at once and then each `intervalMs` after it has ended. */
export class Poller {
  /**
   * @param {(signal: AbortSignal) => Promise<void>} task  rejects after a failure
   * @param {number} intervalMs
   */
  constructor(task, intervalMs) {
    this.task = task;
    this.intervalMs = intervalMs;
    this.failures = 0;
    /** @type {AbortController | null} */
    this.controller = null;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
    this.wake = () => {
      if (!document.hidden && this.controller !== null) this.now();
    };
  }

  start() {
    this.stop();
    this.controller = new AbortController();
    document.addEventListener("visibilitychange", this.wake);
    addEventListener("online", this.wake);
    this.now();
  }

  stop() {
    this.controller?.abort();
    this.controller = null;
    clearTimeout(this.timer);
    document.removeEventListener("visibilitychange", this.wake);
    removeEventListener("online", this.wake);
  }

  /** Run the task now, and wait from its end. */
  async now() {
    clearTimeout(this.timer);
    this.controller?.abort();
    const controller = new AbortController();
    this.controller = controller;
    try {
      await this.task(controller.signal);
      this.failures = 0;
    } catch (error) {
      this.failures += 1;
      if (!(error instanceof ApiError) && !controller.signal.aborted) reportError(error);
    }
    if (controller.signal.aborted || document.hidden) return;
    this.timer = setTimeout(() => this.now(), waitMs(this.intervalMs, this.failures));
  }
}
