import { defineConfig } from 'vite';

// GraphiQL's style embeds two fonts as data: a quarter of the bundle for a matter of taste.
const withoutEmbeddedFonts = {
  name: 'without-embedded-fonts',
  enforce: 'pre',
  transform(code, id) {
    if (!id.endsWith('/graphiql/dist/style.css')) return null;
    return { code: code.replace(/@font-face\s*\{[^}]*\}/g, ''), map: null };
  },
};

export default defineConfig({
  base: '/static/graphiql/',
  plugins: [withoutEmbeddedFonts],
  // No preload helper: the entry is small enough to wait for, and the policy stays simple.
  build: {
    outDir: '../../src/firnline/web/static/graphiql',
    emptyOutDir: true,
    manifest: 'manifest.json',
    license: { fileName: 'licenses.md' },
    modulePreload: false,
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 1500,
    rolldownOptions: { input: 'main.jsx', checks: { moduleLevelDirective: false } },
  },
});
