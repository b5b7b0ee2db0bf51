// The prompt for an API key, where the service has keys.

import { key, prompt } from "./api";
import { byId } from "./dom";

export function setUpKeyPrompt(): void {
  const dialog = byId<HTMLDialogElement>("key-dialog");
  const form = byId<HTMLFormElement>("key-form");
  const input = byId<HTMLInputElement>("key-input");
  const why = byId("key-why");
  const change = byId<HTMLButtonElement>("key-change");
  let answered: (() => void)[] = [];

  const open = (reason: string): void => {
    why.textContent = reason;
    input.value = "";
    change.hidden = false;
    if (!dialog.open) dialog.showModal();
    input.focus();
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const value = input.value.trim();
    // What no header can carry is no key of anybody's.
    if (!/^[\x21-\x7e]+$/.test(value)) {
      why.textContent = "A key is made of visible ASCII characters, without spaces.";
      input.focus();
      return;
    }
    key.set(value);
    dialog.close();
  });
  dialog.addEventListener("close", () => {
    const waiting = answered;
    answered = [];
    if (key.get()) waiting.forEach((resolve) => resolve());
    else if (waiting.length) setTimeout(() => open("Nothing here works without a key."), 0), (answered = waiting);
  });
  change.addEventListener("click", () => open("Type a different key."));
  change.hidden = !key.get();
  prompt.ask = (reason) =>
    new Promise((resolve) => {
      answered.push(resolve);
      key.set("");
      open(reason);
    });
}
