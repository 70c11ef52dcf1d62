// Copies the headers of Node-API to dist/include/, for `node scripts/build-native.mjs` in an installed package: users who
// do not compile then need not install them.
import { cpSync, mkdirSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';

const target = join('dist', 'include');
rmSync(target, { recursive: true, force: true });
mkdirSync(target, { recursive: true });

const headers = {
  'node-addon-api': ['napi.h', 'napi-inl.h', 'napi-inl.deprecated.h'],
  'node-api-headers': ['js_native_api.h', 'js_native_api_types.h', 'node_api.h', 'node_api_types.h'].map((name) =>
    join('include', name),
  ),
};
for (const [name, files] of Object.entries(headers)) {
  const source = join('node_modules', name);
  for (const file of files) cpSync(join(source, file), join(target, basename(file)));
  cpSync(join(source, name === 'node-addon-api' ? 'LICENSE.md' : 'LICENSE'), join(target, `LICENSE.${name}`));
}
