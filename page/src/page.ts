// The page: its parts, and what the service says of itself.

import { Failed, getJson } from "./api";
import { DataView } from "./data";
import { byId, h, replace, tabs } from "./dom";
import { type Exact, listOf, member, numberOf, textOf } from "./exact_json";
import { setUpKeyPrompt } from "./key";
import { LiveView } from "./live";
import { Playground } from "./playground";
import { sharedIn } from "./share";

const PARTS = ["playground", "live", "data"];

async function start(): Promise<void> {
  setUpKeyPrompt();
  const playground = new Playground();
  const live = new LiveView();
  new DataView((shared) => {
    parts.choose("playground");
    playground.load(shared);
  });
  const parts = tabs(byId("parts"), (name) => {
    if (name === "live") live.begin();
    else live.end();
    if (name !== "playground" || PARTS.includes(location.hash.slice(1))) {
      history.replaceState(null, "", `#${name}`);
    }
  });
  const follow = async (): Promise<void> => {
    const wanted = location.hash.slice(1);
    parts.choose(PARTS.includes(wanted) ? wanted : "playground");
    try {
      const shared = await sharedIn(location.hash);
      if (shared) playground.load(shared);
    } catch (error) {
      replace(byId("result"), h("p", { class: "notice bad", role: "alert" }, (error as Error).message));
    }
  };
  addEventListener("hashchange", () => void follow());
  // A stream for a page that nobody sees would be work for nothing.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) live.end();
    else if (parts.current() === "live") live.begin();
  });
  await follow();
  await describeService(playground);
}

async function describeService(playground: Playground): Promise<void> {
  const state = byId("service-state");
  try {
    const able = await getJson("/v1/capabilities");
    playground.setCapabilities(able);
    const slots = numberOf(member(able, "concurrency"));
    state.textContent = `execbox ${textOf(member(able, "version"))} · ${textOf(member(able, "engine"))} · ${slots} slots`;
    replace(byId("about"), ...aboutLines(able));
  } catch (error) {
    const why = error instanceof Failed ? error.message : String(error);
    state.textContent = `The service does not say what it can do: ${why}`;
  }
}

function aboutLines(able: Exact): (HTMLElement | string)[] {
  const weaker = listOf(member(able, "weaker_than_docker")).map(String);
  const line = `Python ${textOf(member(able, "python"))}, image ${textOf(member(able, "image"))}.`;
  return weaker.length ? [line, h("span", null, ` Weaker than Docker: ${weaker.join("; ")}.`)] : [line];
}

void start();
