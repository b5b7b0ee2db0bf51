// Making elements. Text is always text: nothing here, or anywhere on the page, parses HTML.

export type Child = Node | string | number | null | undefined | false;
type Handler = (event: never) => void;
export type Props = Record<string, string | number | boolean | null | undefined | Handler>;

/** An element. Members that begin with "on" are listeners, the others attributes; null, undefined
 * and false leave one out. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  props: Props | null,
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  apply(element, props);
  element.append(...present(children));
  return element;
}

/** The same for SVG. */
export function svg(tag: string, props: Props | null, ...children: Child[]): SVGElement {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  apply(element, props);
  element.append(...present(children));
  return element;
}

function apply(element: Element, props: Props | null): void {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") {
      element.addEventListener(name.slice(2), value as unknown as EventListener);
    } else {
      element.setAttribute(name, value === true ? "" : String(value));
    }
  }
}

function present(children: Child[]): (Node | string)[] {
  return children
    .filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (typeof child === "number" ? String(child) : (child as Node | string)));
}

/** What index.html has under this id. */
export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`index.html has no #${id}`);
  return element as T;
}

export function replace(parent: Element, ...children: Child[]): void {
  parent.replaceChildren(...present(children));
}

let announcer: HTMLElement | null = null;

/** Have a screen reader say this when it has nothing else to say. */
export function announce(text: string): void {
  announcer ??= byId("announcer");
  announcer.textContent = text;
}

/** A list of tabs, as the ARIA authoring practices have it: arrows move, one is in the tab order. */
export function tabs(
  list: HTMLElement,
  chosen: (name: string) => void,
): { choose: (name: string) => void; current: () => string } {
  const all = [...list.querySelectorAll<HTMLButtonElement>("[role=tab]")];
  let current = "";
  const choose = (name: string): void => {
    current = name;
    for (const tab of all) {
      const selected = tab.dataset.tab === name;
      tab.setAttribute("aria-selected", String(selected));
      tab.tabIndex = selected ? 0 : -1;
      const panel = document.getElementById(tab.getAttribute("aria-controls") ?? "");
      // Several tabs may control one panel, which then stays.
      if (panel && (selected || !all.some((other) => other !== tab && shares(other, tab)))) {
        panel.hidden = !selected;
      }
      if (panel && selected) panel.setAttribute("aria-labelledby", tab.id);
    }
    chosen(name);
  };
  list.addEventListener("click", (event) => {
    const tab = (event.target as Element).closest<HTMLButtonElement>("[role=tab]");
    if (tab?.dataset.tab) choose(tab.dataset.tab);
  });
  list.addEventListener("keydown", (event) => {
    const index = all.findIndex((tab) => tab.dataset.tab === current);
    const to = { ArrowRight: index + 1, ArrowLeft: index - 1, Home: 0, End: all.length - 1 }[
      event.key
    ];
    if (to === undefined) return;
    event.preventDefault();
    const tab = all[(to + all.length) % all.length];
    tab?.focus();
    if (tab?.dataset.tab) choose(tab.dataset.tab);
  });
  return { choose, current: () => current };
}

function shares(one: Element, other: Element): boolean {
  return one.getAttribute("aria-controls") === other.getAttribute("aria-controls");
}
