import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

export default defineConfig({
  plugins: [react(), tailwindcss()],
  resolve: { alias: { "@": new URL("./src", import.meta.url).pathname } },
  build: {
    target: "es2023",
    manifest: true,
    // Inlined files would need data: URLs in the Content-Security-Policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // A browser that has nothing yet asks for few files: what every page needs is one, what many pages need is another.
    rolldownOptions: {
      output: {
        codeSplitting: {
          groups: [{ name: "many", test: /[\/\\]src[\/\\](api|components|lib)[\/\\]/, minShareCount: 6 }],
        },
      },
    },
  },
});
