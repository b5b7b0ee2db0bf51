// Form fields by name: what a link carries, an example fills, and a request is made of.

import { h } from "./dom";

/** What all fields hold: text, and "yes" or "" for a box to tick. */
export type Values = Record<string, string>;

export interface Field {
  read(): string;
  write(value: string): void;
}

export class Fields {
  private readonly all = new Map<string, { field: Field; initial: string }>();
  constructor(private readonly changed: () => void) {}

  add(name: string, field: Field): void {
    this.all.set(name, { field, initial: field.read() });
  }

  get(name: string): string {
    return this.all.get(name)?.field.read() ?? "";
  }

  on(name: string): boolean {
    return this.get(name) === "yes";
  }

  /** Those that differ from what they are at first. */
  values(): Values {
    const values: Values = {};
    for (const [name, { field, initial }] of this.all) {
      const value = field.read();
      if (value !== initial) values[name] = value;
    }
    return values;
  }

  /** Set these, and all others to what they are at first. */
  set(values: Values): void {
    for (const [name, { field, initial }] of this.all) field.write(values[name] ?? initial);
    this.changed();
  }

  private listen(name: string, element: HTMLElement & { value: string }): void {
    element.addEventListener("input", () => this.changed());
    this.add(name, {
      read: () => element.value,
      write: (value) => (element.value = value),
    });
  }

  text(name: string, label: string, attributes: Record<string, string> = {}): HTMLElement {
    const input = h("input", { type: "text", spellcheck: "false", autocomplete: "off", ...attributes });
    this.listen(name, input);
    return h("label", null, label, input);
  }

  number(name: string, label: string, range: { min: number; max: number; step: string }): HTMLElement {
    const input = h("input", { type: "number", inputmode: "decimal", placeholder: "default", ...range });
    this.listen(name, input);
    return h("label", null, label, input);
  }

  area(name: string, label: string, hint: string, rows = 3): HTMLElement {
    const area = h("textarea", { rows, spellcheck: "false", autocapitalize: "off" });
    this.listen(name, area);
    return h("label", null, label, " ", h("span", { class: "hint" }, hint), area);
  }

  select(name: string, label: string, choices: readonly (readonly [string, string])[]): HTMLElement {
    const select = h("select", null, ...choices.map(([value, text]) => h("option", { value }, text)));
    this.listen(name, select);
    return h("label", null, label, " ", select);
  }

  tick(name: string, label: string): HTMLElement {
    const box = h("input", { type: "checkbox" });
    box.addEventListener("input", () => this.changed());
    this.add(name, {
      read: () => (box.checked ? "yes" : ""),
      write: (value) => (box.checked = value === "yes"),
    });
    return h("label", { class: "tick" }, box, label);
  }
}
