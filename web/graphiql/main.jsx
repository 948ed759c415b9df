import './workers.js';
import { explorerPlugin } from '@graphiql/plugin-explorer';
import { setNonce } from 'get-nonce';
import { GraphiQL, HISTORY_PLUGIN } from 'graphiql';
import { createRoot } from 'react-dom/client';
import 'graphiql/style.css';
import '@graphiql/plugin-explorer/style.css';
import './studio.css';
import { createFetcher, HEADERS_PLACEHOLDER } from './session.js';

const boot = JSON.parse(document.getElementById('boot').textContent);

// Dialogs and the editor add style elements; the page's content policy wants its nonce.
globalThis.firnlineNonce = document.querySelector('script[nonce]').nonce;
setNonce(globalThis.firnlineNonce);

// Each person at each tenant has their own tabs and history.
function storageFor(scope) {
  const prefix = `${scope}:`;
  const own = () => Object.keys(localStorage).filter((key) => key.startsWith(prefix));
  return {
    get length() {
      return own().length;
    },
    getItem: (key) => localStorage.getItem(prefix + key),
    setItem: (key, value) => localStorage.setItem(prefix + key, value),
    removeItem: (key) => localStorage.removeItem(prefix + key),
    clear: () => own().forEach((key) => localStorage.removeItem(key)),
  };
}

const tabs = boot.examples.map(({ query, variables }) => ({
  query,
  variables,
  headers: HEADERS_PLACEHOLDER,
}));

const storage = storageFor(`firnline:${boot.tenant}:${boot.person}`);

// GraphiQL fills the first tab's variables editor from storage, not from the tab.
if (storage.getItem('graphiql:tabState') === null && tabs.length > 0) {
  storage.setItem('graphiql:variables', tabs[0].variables);
}

const isNarrow = window.matchMedia('(max-width: 700px)').matches;
const plugins = [HISTORY_PLUGIN, explorerPlugin({ showAttribution: false })];

createRoot(document.getElementById('graphiql')).render(
  <GraphiQL
    fetcher={createFetcher(boot)}
    storage={storage}
    plugins={plugins}
    defaultTabs={tabs.length > 0 ? tabs : undefined}
    defaultHeaders={HEADERS_PLACEHOLDER}
    defaultQuery={'{\n  __typename\n}\n'}
    defaultEditorToolsVisibility={isNarrow ? false : 'variables'}
    shouldPersistHeaders={false}
  >
    <GraphiQL.Logo>
      <span className="studio-logo">GraphiQL</span>
    </GraphiQL.Logo>
  </GraphiQL>,
);
