// The code editor. It lives in a shadow root, where its styles are constructed style sheets: in the
// document itself they would be inline styles, which the content security policy forbids.

import { closeBrackets, closeBracketsKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { python } from "@codemirror/lang-python";
import { bracketMatching, indentOnInput, indentUnit, syntaxHighlighting } from "@codemirror/language";
import { Compartment, EditorState, StateEffect, StateField } from "@codemirror/state";
import {
  Decoration,
  type DecorationSet,
  drawSelection,
  EditorView,
  highlightActiveLine,
  highlightActiveLineGutter,
  keymap,
  lineNumbers,
} from "@codemirror/view";
import { classHighlighter } from "@lezer/highlight";

const mark = StateEffect.define<number | null>();
const marked = StateField.define<DecorationSet>({
  create: () => Decoration.none,
  update(current, transaction) {
    let next = transaction.docChanged ? Decoration.none : current;
    for (const effect of transaction.effects) {
      if (!effect.is(mark)) continue;
      const line = effect.value;
      next =
        line !== null && line >= 1 && line <= transaction.state.doc.lines
          ? Decoration.set([
              Decoration.line({ class: "cm-failed-line" }).range(
                transaction.state.doc.line(line).from,
              ),
            ])
          : Decoration.none;
    }
    return next;
  },
  provide: (field) => EditorView.decorations.from(field),
});

const look = EditorView.theme({
  "&": { color: "var(--text)", backgroundColor: "var(--field)", fontSize: "var(--code-size)" },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "1.5", maxHeight: "26rem" },
  ".cm-content": { caretColor: "var(--text)", minHeight: "var(--editor-height, 12rem)" },
  ".cm-cursor": { borderLeftColor: "var(--text)" },
  ".cm-gutters": {
    color: "var(--quiet)",
    backgroundColor: "var(--field)",
    borderRight: "1px solid var(--line)",
  },
  ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "var(--active)" },
  ".cm-failed-line": { backgroundColor: "var(--bad-back)", boxShadow: "inset 3px 0 var(--bad)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground":
    { backgroundColor: "var(--selection)" },
  "&.cm-focused .cm-matchingBracket": { backgroundColor: "var(--selection)" },
  ".tok-keyword": { color: "var(--code-keyword)" },
  ".tok-string, .tok-string2": { color: "var(--code-string)" },
  ".tok-comment": { color: "var(--code-comment)", fontStyle: "italic" },
  ".tok-number, .tok-bool, .tok-atom": { color: "var(--code-number)" },
  ".tok-definition, .tok-function, .tok-className": { color: "var(--code-name)" },
});

export interface Editor {
  read(): string;
  write(text: string): void;
  /** Show a line as the one that failed; null shows none. */
  markLine(line: number | null): void;
  goTo(line: number): void;
  setPython(on: boolean): void;
  focus(): void;
}

export function makeEditor(
  host: HTMLElement,
  options: { label: string; run: () => void; changed: () => void },
): Editor {
  const root = host.attachShadow({ mode: "open" });
  const language = new Compartment();
  const view = new EditorView({
    root,
    parent: root,
    state: EditorState.create({
      extensions: [
        keymap.of([
          { key: "Mod-Enter", run: () => (options.run(), true) },
          ...closeBracketsKeymap,
          ...defaultKeymap,
          ...historyKeymap,
          indentWithTab,
        ]),
        lineNumbers(),
        history(),
        drawSelection(),
        indentOnInput(),
        indentUnit.of("    "),
        EditorState.tabSize.of(4),
        bracketMatching(),
        closeBrackets(),
        highlightActiveLine(),
        highlightActiveLineGutter(),
        syntaxHighlighting(classHighlighter),
        language.of(python()),
        marked,
        look,
        EditorView.contentAttributes.of({
          "aria-label": options.label,
          "aria-description": "Escape, then Tab, leaves the editor. Control and Enter runs.",
          autocapitalize: "off",
          spellcheck: "false",
        }),
        EditorView.updateListener.of((update) => update.docChanged && options.changed()),
      ],
    }),
  });
  return {
    read: () => view.state.doc.toString(),
    write: (text) =>
      view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: text } }),
    markLine: (line) => view.dispatch({ effects: mark.of(line) }),
    goTo: (line) => {
      if (line < 1 || line > view.state.doc.lines) return;
      const { from } = view.state.doc.line(line);
      view.dispatch({ selection: { anchor: from }, scrollIntoView: true });
      view.focus();
    },
    setPython: (on) => view.dispatch({ effects: language.reconfigure(on ? python() : []) }),
    focus: () => view.focus(),
  };
}
