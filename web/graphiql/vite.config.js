import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';
import { PAGE_CHANGES, WORKER_CHANGES, withChanges } from './changes.js';
import { licences } from './licences.js';

const BUILT = '../../src/firnline/web/static/graphiql';
const { inWorkers, complete } = licences(`${BUILT}/licenses.md`);
const OWN_MONACO = fileURLToPath(new URL('monaco.js', import.meta.url));

// GraphiQL asks for the whole of Monaco by one module: give it the parts of monaco.js.
const withNeededMonaco = {
  name: 'with-needed-monaco',
  enforce: 'pre',
  resolveId(source, importer = '') {
    const isWhole =
      source === 'monaco-graphql/esm/monaco-editor.js' ||
      (source === './monaco-editor' && importer.includes('/monaco-graphql/esm/'));
    return isWhole ? OWN_MONACO : null;
  },
};

export default defineConfig({
  base: '/static/graphiql/',
  plugins: [withNeededMonaco, withChanges(PAGE_CHANGES), complete],
  worker: { format: 'es', plugins: () => [withChanges(WORKER_CHANGES), inWorkers] },
  // No preload helper: it would add links and styles by itself, and the policy stays simple.
  build: {
    outDir: BUILT,
    emptyOutDir: true,
    manifest: 'manifest.json',
    license: { fileName: 'licenses.md' },
    modulePreload: false,
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 2000,
    rolldownOptions: { input: 'main.jsx', checks: { moduleLevelDirective: false } },
  },
});
