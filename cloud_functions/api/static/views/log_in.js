// <vd-log-in>: asks for name and password, in a dialog; one that stays where nothing may be seen without.

import { close } from "../app/navigation.js";
import { logIn } from "../app/session.js";
import { fill, h } from "../ui/dom.js";
import { icon } from "../ui/icons.js";
import { errorLine } from "../ui/messages.js";

/** @import { SessionResponse } from "../api_types.d.ts" */

export class LogIn extends HTMLElement {
  constructor() {
    super();
    this.isNeeded = false;
    this.error = h("div", { class: "form-error" });
    this.name = input({ id: "login-name", name: "username", autocomplete: "username", autocapitalize: "none" });
    this.password = input({
      id: "login-password",
      name: "password",
      type: "password",
      autocomplete: "current-password",
    });
    this.submit = h("button", { class: "primary", type: "submit" }, "Log in");
    this.cancel = h("button", { type: "button", onclick: () => close("login") }, "Cancel");
    this.form = h(
      "form",
      { onsubmit: (event) => this.onSubmit(event) },
      h("label", { for: "login-name" }, "User name or email"),
      this.name,
      h("label", { for: "login-password" }, "Password"),
      this.password,
      this.error,
      h("div", { class: "buttons" }, this.submit, this.cancel),
    );
    this.note = h(
      "p",
      {},
      icon("lock"),
      "Logging in needs https. Open this page over https, or on the machine that serves it.",
    );
    this.dialog = h(
      "dialog",
      { class: "log-in", "aria-labelledby": "login-title", oncancel: (event) => this.onCancel(event) },
      h("h1", { id: "login-title" }, "Log in to Vedette"),
      this.form,
      this.note,
    );
  }

  connectedCallback() {
    if (this.dialog.parentNode !== this) this.append(this.dialog);
  }

  /**
   * @param {SessionResponse} session
   * @param {{ isNeeded: boolean, isWanted: boolean }} reasons
   */
  update(session, { isNeeded, isWanted }) {
    const canShow = session.kind === "anonymous" && session.log_in !== "none";
    this.isNeeded = isNeeded;
    this.cancel.hidden = isNeeded;
    this.form.hidden = session.log_in !== "available";
    this.note.hidden = session.log_in === "available";
    const isOpen = canShow && (isNeeded || isWanted);
    if (isOpen && !this.dialog.open) {
      fill(this.error);
      this.dialog.showModal();
      if (!this.form.hidden) this.name.focus();
    } else if (!isOpen && this.dialog.open) this.dialog.close();
  }

  /** @param {Event} event */
  onCancel(event) {
    event.preventDefault();
    if (!this.isNeeded) close("login");
  }

  /** @param {Event} event */
  async onSubmit(event) {
    event.preventDefault();
    this.submit.disabled = true;
    try {
      const session = await logIn(this.name.value.trim(), this.password.value);
      this.password.value = "";
      this.dispatchEvent(new CustomEvent("vd-session", { detail: session }));
    } catch (error) {
      fill(this.error, errorLine(error));
      this.password.select();
    } finally {
      this.submit.disabled = false;
    }
  }
}

/** @param {Record<string, string>} attributes */
function input(attributes) {
  return h("input", { required: true, spellcheck: "false", maxlength: 254, ...attributes });
}
