// Adds to licenses.md what Vite leaves out: packages inside the workers, and Monaco's own parts.

import { appendFileSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

const PACKAGE = /^(.*\/node_modules\/(?:@[^/]+\/)?[^/]+)\//;

export function licences(file) {
  const folders = new Set();
  const inWorkers = {
    name: 'packages-in-workers',
    generateBundle(_options, bundle) {
      for (const { modules = {} } of Object.values(bundle)) {
        for (const id of Object.keys(modules)) {
          const folder = PACKAGE.exec(id)?.[1];
          if (folder) folders.add(folder);
        }
      }
    },
  };
  const complete = {
    name: 'complete-licences',
    closeBundle() {
      const written = readFileSync(file, 'utf8');
      const missing = [...folders].sort().map(licenceOf);
      const added = missing.filter(({ title }) => !written.includes(`\n${title}`));
      const monaco = 'node_modules/monaco-editor/ThirdPartyNotices.txt';
      appendFileSync(
        file,
        [
          ...added.map(({ title, text }) => `\n${title}\n\n${text}`),
          '\n## Inside monaco-editor\n\n',
          'The icon font (codicon) is licensed under CC-BY-4.0: https://github.com/microsoft/vscode-codicons\n\n',
          readFileSync(monaco, 'utf8').replaceAll('\r\n', '\n'),
        ].join(''),
      );
    },
  };
  return { inWorkers, complete };
}

function licenceOf(folder) {
  const { name, version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  const file = readdirSync(folder).find((entry) => /^licen[sc]e/i.test(entry));
  const text = file ? readFileSync(join(folder, file), 'utf8') : '';
  return { title: `## ${name} - ${version} (${license})`, text };
}
