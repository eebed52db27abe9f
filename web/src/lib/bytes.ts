const UNITS = ["B", "KB", "MB", "GB", "TB"];

/** "64 MB", "1.5 GB", in powers of 1024 as Docker counts. */
export function bytesInWords(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${Number(value.toFixed(value < 10 ? 1 : 0))} ${UNITS[unit]}`;
}
