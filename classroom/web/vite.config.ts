import react from '@vitejs/plugin-react';
import { defaultClientConditions, defineConfig } from 'vite';

export default defineConfig({
  plugins: [react()],
  resolve: { conditions: ['lyceum-source', ...defaultClientConditions] },
  build: { target: 'es2022', modulePreload: { polyfill: false } },
  // `npm run dev` beside a mesh on its default address.
  server: { proxy: { '/v1': 'http://127.0.0.1:8080' } },
});
