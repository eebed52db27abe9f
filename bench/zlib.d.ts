/** What the bench uses of node:zlib; Deno's own types of it need a package. */
export function gzipSync(data: Uint8Array, options: { level: number }): Uint8Array;
export function brotliCompressSync(data: Uint8Array): Uint8Array;
