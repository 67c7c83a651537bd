// <vd-app>: the frame of the page. It follows the address, and gives each view its state and the session.

import { close, currentState, onNavigation } from "../app/navigation.js";
import { logOut, may, readSession } from "../app/session.js";
import { formatState, withParams } from "../model/url_state.js";
import { zoneName } from "../model/times.js";
import { fill, given, h, setAttribute, setText } from "../ui/dom.js";
import { icon } from "../ui/icons.js";
import { errorText, message } from "../ui/messages.js";

/** @import { SessionResponse } from "../api_types.d.ts" */
/** @import { State, ViewName } from "../model/url_state.js" */
/** @import { View } from "./view.js" */
/** @import { EventDialog } from "./event_dialog.js" */
/** @import { LogIn } from "./log_in.js" */

/** @type {Readonly<Record<ViewName, { label: string, icon: string, tag: string, permission: string }>>} */
const VIEWS = {
  events: { label: "Events", icon: "tracking", tag: "vd-events", permission: "events:read" },
  cameras: { label: "Cameras", icon: "camera", tag: "vd-cameras", permission: "cameras:read" },
  plates: { label: "Plates", icon: "anpr", tag: "vd-plates", permission: "events:read" },
};
const RETRY_MS = 5000;

export class App extends HTMLElement {
  constructor() {
    super();
    /** @type {SessionResponse | null} */
    this.session = null;
    /** @type {View | null} */
    this.view = null;
    this.nav = h("nav", { "aria-label": "Views" });
    this.account = h("div", { class: "account" });
    this.banner = h("p", { class: "banner", role: "status" });
    this.main = h("main", { id: "main", tabindex: -1 });
    this.dialog = /** @type {EventDialog} */ (document.createElement("vd-event-dialog"));
    this.logIn = /** @type {LogIn} */ (document.createElement("vd-log-in"));
  }

  connectedCallback() {
    const skip = h(
      "a",
      { class: "skip", href: "#main", onclick: (event) => this.onSkip(event) },
      "Skip to the content",
    );
    const brand = h("a", { class: "brand", href: "#/events" }, mark(), h("span", {}, "Vedette"));
    const zone = h("span", { class: "zone", title: "Times are in this time zone" }, icon("clock"), zoneName());
    this.append(
      skip,
      h("header", {}, brand, this.nav, zone, this.account),
      this.banner,
      this.main,
      this.dialog,
      this.logIn,
    );
    onNavigation(() => this.update());
    addEventListener("vd-unauthorized", () => this.start());
    addEventListener("vd-connection", (event) => this.onConnection(/** @type {CustomEvent} */ (event).detail));
    this.logIn.addEventListener("vd-session", (event) => this.onSession(/** @type {CustomEvent} */ (event).detail));
    this.start();
  }

  /** Read the session, and show the view of the address. */
  async start() {
    try {
      this.onSession(await readSession());
      this.onConnection(null);
    } catch (error) {
      if (this.session === null) fill(this.main, message("warning", errorText(error), h("p", {}, "Trying again …")));
      setTimeout(() => this.start(), RETRY_MS);
    }
  }

  /** @param {SessionResponse} session */
  onSession(session) {
    this.session = session;
    this.view = null;
    if (session.kind === "user" && currentState().params.login) close("login");
    this.update();
  }

  update() {
    const { session } = this;
    if (session === null) return;
    const state = currentState();
    this.showNavigation(state);
    this.showAccount(state, session);
    const mustLogIn = !may(session, VIEWS[state.view].permission);
    if (mustLogIn) {
      this.view = null;
      fill(this.main, session.log_in === "none" || session.kind !== "anonymous" ? forbidden() : null);
    } else this.showView(state, session);
    this.logIn.update(session, { isNeeded: mustLogIn, isWanted: state.params.login === "1" });
    this.dialog.update(mustLogIn ? "" : (state.params.event ?? ""));
  }

  /**
   * @param {State} state
   * @param {SessionResponse} session
   */
  showView(state, session) {
    const tag = VIEWS[state.view].tag;
    if (this.view?.localName !== tag) {
      this.view = /** @type {View} */ (document.createElement(tag));
      fill(this.main, this.view);
      document.title = `${VIEWS[state.view].label} · Vedette`;
    }
    this.view.update(state, session);
  }

  /** @param {State} state */
  showNavigation(state) {
    const links = Object.entries(VIEWS).map(([name, view]) => {
      const isCurrent = name === state.view;
      return h("a", { href: `#/${name}`, "aria-current": isCurrent ? "page" : null }, icon(view.icon), view.label);
    });
    if (this.nav.childElementCount === 0) fill(this.nav, ...links);
    else {links.forEach((link, at) =>
        setAttribute(/** @type {Element} */ (this.nav.children[at]), "aria-current", link.getAttribute("aria-current"))
      );}
  }

  /**
   * @param {State} state
   * @param {SessionResponse} session
   */
  showAccount(state, session) {
    const logIn = h(
      "a",
      { class: "button", href: formatState(withParams(state, { login: "1" })) },
      icon("user"),
      "Log in",
    );
    if (session.kind === "user") {
      const who = h("span", { class: "who", title: session.role ?? "" }, icon("user"), given(session.name));
      fill(this.account, who, h("button", { type: "button", onclick: () => this.onLogOut() }, "Log out"));
    } else if (session.log_in !== "none") {
      const role = session.role === null
        ? null
        : h("span", { class: "who" }, icon("eye"), `Looking around as ${session.role}`);
      fill(this.account, role, logIn);
    } else fill(this.account);
  }

  async onLogOut() {
    try {
      await logOut();
    } finally {
      this.start();
    }
  }

  /**
   * Say that the connection is gone, or that it is back.
   * @param {string | null} problem
   */
  onConnection(problem) {
    this.classList.toggle("is-offline", problem !== null);
    setText(this.banner, problem === null ? "" : `${problem} What you see may be out of date. Trying again …`);
  }

  /** @param {Event} event */
  onSkip(event) {
    event.preventDefault();
    this.main.focus();
  }
}

function forbidden() {
  return message("lock", "You may not see this.", h("p", {}, "Your role does not have the permission."));
}

function mark() {
  const eye = icon("eye");
  eye.classList.add("mark");
  return eye;
}
