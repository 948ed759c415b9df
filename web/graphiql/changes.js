// What the build changes inside GraphiQL and Monaco; it fails when one of them no longer applies.

const MONACO = '/monaco-editor/esm/vs/base/browser';

const withNonce = (file) => ({
  file,
  text: "document.createElement('style')",
  by: "Object.assign(document.createElement('style'), { nonce: globalThis.firnlineNonce })",
});

export const PAGE_CHANGES = [
  // Two embedded fonts are a quarter of the style, for a matter of taste.
  { file: '/graphiql/dist/style.css', text: /@font-face\s*\{[^}]*\}/g, by: '' },
  // Style elements carry the page's nonce: the content policy need not admit any other.
  withNonce(`${MONACO}/dom.js`),
  withNonce(`${MONACO}/ui/contextview/contextview.js`),
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
