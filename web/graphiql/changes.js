// What the build changes inside GraphiQL and Monaco; it fails when one of them no longer applies.

const MONACO = '/monaco-editor/esm/vs';
const EXPLORER = '/graphiql-explorer/dist/Explorer.js';

const withNonce = (file) => ({
  file,
  text: "document.createElement('style')",
  by: "Object.assign(document.createElement('style'), { nonce: globalThis.firnlineNonce })",
});

const withoutClass = (file, name) => ({ file, text: /^[\s\S]+$/, by: `export class ${name} {}\n` });

export const PAGE_CHANGES = [
  // Two embedded fonts are a quarter of the style, for a matter of taste.
  { file: '/graphiql/dist/style.css', text: /@font-face\s*\{[^}]*\}/g, by: '' },
  // Style elements carry the page's nonce: the content policy need not admit any other.
  withNonce(`${MONACO}/base/browser/dom.js`),
  withNonce(`${MONACO}/base/browser/ui/contextview/contextview.js`),
  // Nothing here shows differences between two texts.
  withoutClass(`${MONACO}/editor/browser/widget/diffEditor/diffEditorWidget.js`, 'DiffEditorWidget'),
  withoutClass(
    `${MONACO}/editor/browser/widget/multiDiffEditor/multiDiffEditorWidget.js`,
    'MultiDiffEditorWidget',
  ),
  // A field for a value takes the focus when a click in the explorer adds it, not when the explorer
  // opens: it would scroll away from its beginning.
  {
    file: EXPLORER,
    text: 'activeElement && !(activeElement instanceof HTMLTextAreaElement)',
    by: 'activeElement === document.body && navigator.userActivation?.hasBeenActive',
  },
  // Lists as arguments, which the explorer shows no values of, are nothing to complain about.
  {
    file: EXPLORER,
    text: /console\.error\('arg mismatch between arg and selection', argType, argValue\);/g,
    by: '',
  },
  // Each directive was logged.
  {
    file: `${MONACO}/basic-languages/graphql/graphql.js`,
    text: ', log: "annotation token: $0"',
    by: '',
  },
  // One module under two names would be bundled twice.
  {
    file: '/@graphiql/react/dist/constants.js',
    text: 'import("prettier/parser-graphql")',
    by: 'import("prettier/plugins/graphql")',
  },
  // JSON is formatted by the parser that is there anyway, not by half a megabyte of Babel.
  {
    file: '/@graphiql/react/dist/utility/jsonc.js',
    text: /import \{ parse,([\s\S]*?)async function formatJSONC[\s\S]*?\n\}/,
    by: `import { applyEdits, format, parse,$1async function formatJSONC(content) {
      return applyEdits(content, format(content, undefined, { tabSize: 2, insertSpaces: true }));
    }`,
  },
];

export const WORKER_CHANGES = [
  // GraphiQL formats operations in the page; Monaco's own command for it is not in monaco.js.
  {
    file: '/monaco-graphql/esm/GraphQLWorker.js',
    text: /const prettierStandalone = [\s\S]*?\}\);/,
    by: 'return null;',
    isOfOneWorker: true,
  },
];

export function withChanges(changes) {
  const made = new Set();
  return {
    name: 'with-changes',
    enforce: 'pre',
    transform(code, id) {
      const wanted = changes.filter(({ file }) => id.endsWith(file));
      if (wanted.length === 0) return null;
      const changed = wanted.reduce((before, change) => {
        const after = before.replace(change.text, change.by);
        if (after !== before) made.add(change);
        return after;
      }, code);
      return { code: changed, map: null };
    },
    buildEnd(error) {
      if (error) return;
      const missed = changes.filter((change) => !change.isOfOneWorker && !made.has(change));
      if (missed.length > 0) {
        this.error(`no longer as expected: ${missed.map(({ file }) => file).join(', ')}`);
      }
    },
  };
}
