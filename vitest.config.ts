import { defineConfig } from 'vitest/config';

export default defineConfig({
  resolve: { conditions: ['lyceum-source', 'module', 'browser', 'development|production'] },
  test: {
    include: ['client-sdk/web/src/**/*.test.ts', 'classroom/web/src/**/*.test.ts'],
    environment: 'node',
  },
});
