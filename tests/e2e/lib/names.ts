/** Names people and attackers give to things, from a seed. */

/** A reproducible source of numbers in [0, 1) (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** A name and whether the rules of `toolbox-domain` take it; the code when they do not. */
export interface NameCase {
  name: string;
  /** Undefined: it must deploy. */
  refused?: string;
}

const ESC = (code: number) => String.fromCodePoint(code);

/** Names written by hand: each for a reason. */
export const CHOSEN: readonly NameCase[] = [
  ...new Set([
    // The bug report's, and texts that once decided control flow.
    ...[
      "Context7 MCP Server-1750278276605",
      "404",
      "404 Not Found",
      "error",
      "null",
      "undefined",
      "true",
      "0",
      "-1",
      "tools",
      "start",
      "stop",
      "logs",
    ],
    // Delimiters of URLs, encoded and not.
    ...[
      "/",
      "?",
      "#",
      "%",
      "&",
      "+",
      "a/b",
      "a//b",
      "/a",
      "a/",
      "a?b=c",
      "a#b",
      "a&b=c",
      "a+b",
      "a b",
      "a;b",
      "a=b",
      "a:b",
      "a@b",
      "a,b",
      "a$b",
    ],
    ...[
      "%2F",
      "%252F",
      "%25",
      "%",
      "%%",
      "%zz",
      "%2",
      "a%2Fb",
      "a%252Fb",
      "%00",
      "%0A",
      "%2e%2e",
      "%C3%28",
      "100%",
      "..%2F..%2Fetc",
      "%E2%80%AE",
    ],
    ...[
      "../",
      "/..",
      "../..",
      "../../etc/passwd",
      "..a",
      "a..",
      ".hidden",
      "a/../b",
      "./a",
      "a/.",
      "C:\\x\\y",
      "\\",
      "\\\\",
      "a\\b",
    ],
    // Quotes, and the languages they break out of.
    ...[
      "'",
      '"',
      "`",
      "''",
      "a'b",
      'a"b',
      "'; drop table account_tool_instances; --",
      '{"action":"delete"}',
      "$(reboot)",
      "`reboot`",
      "${HOME}",
      "a|b",
      "a>b",
      "<script>alert(1)</script>",
      "{{7*7}}",
      "*",
      "(eq.1)",
      "eq.1",
      "in.(1,2)",
      "a,b.eq.c",
      "name=eq.x",
    ],
    // Scripts, directions, joins, marks. Byte for byte: both forms of é are different names.
    ...[
      "שלום עולם",
      "مرحبا بالعالم",
      "中文服务器",
      "日本語サーバー",
      "한국어",
      "Ελληνικά",
      "Кириллица",
      "हिन्दी",
      "ไทย",
      "İstanbul",
      "straße",
      "STRASSE",
    ],
    ...[
      "🚀",
      "👩‍👩‍👧‍👦",
      "👩🏽‍💻 dev",
      "🏳️‍🌈",
      "🇸🇪",
      "é",
      "e\u0301",
      "Å",
      "A\u030a",
      "Z\u0351\u036b\u0343\u036a\u0302\u036b\u033d\u034f",
      "a\u200db",
      "a\u200cb",
      "a\u200bb",
      "a\u00adb",
      "a\u00a0b",
      "\ufeffa",
      "\u{1d4d0}\u{1d4d1}",
      "\u{10ffff}",
      "\ufffd",
    ],
    // Case and slugs: names that end in the same slug are different instances.
    ...[
      "Server",
      "server",
      "SERVER",
      "my tool",
      "My Tool",
      "my-tool",
      "my_tool",
      "my.tool",
      "my--tool",
      "-",
      "--",
      "_",
      "a",
      "z".repeat(64),
    ],
    ...["a".repeat(255), "é".repeat(255), "🚀".repeat(255), "/".repeat(255), "%".repeat(255)],
  ]),
].map((name) => ({ name }));

/** Names written by hand that must be refused. */
export const REFUSED: readonly NameCase[] = [
  { name: "", refused: "name_empty" },
  { name: "a".repeat(256), refused: "name_too_long" },
  { name: "🚀".repeat(256), refused: "name_too_long" },
  { name: "a".repeat(5000), refused: "name_too_long" },
  { name: ".", refused: "name_is_dot_segment" },
  { name: "..", refused: "name_is_dot_segment" },
  { name: "...", refused: "name_is_dot_segment" },
  ...[" a", "a ", " ", "\u00a0a", "a\u3000", "\u2003"].map((name) => ({ name, refused: "name_has_outer_whitespace" })),
  ...["\u200b", "\u200d\u2060", "\ufe0f"].map((name) => ({ name, refused: "name_is_invisible" })),
  ...["a\nb", "a\rb", "a\r\nb", "a\tb", "a\u0000b", "a\u001bb", "a\u007fb", "a\u0085b", "a\u2028b", "a\u2029b"]
    .map((name) => ({ name, refused: "name_has_control_characters" })),
  ...[0x202a, 0x202b, 0x202c, 0x202d, 0x202e, 0x2066, 0x2067, 0x2068, 0x2069]
    .map((code) => ({ name: `a${ESC(code)}b`, refused: "name_has_bidi_controls" })),
  ...[
    "123e4567-e89b-42d3-a456-426614174000",
    "123E4567-E89B-42D3-A456-426614174000",
    "123e4567e89b42d3a456426614174000",
    "{123e4567-e89b-42d3-a456-426614174000}",
    "urn:uuid:123e4567-e89b-42d3-a456-426614174000",
    "00000000-0000-0000-0000-000000000000",
  ].map((name) => ({ name, refused: "name_is_uuid" })),
];

const PIECES = [
  "/",
  "?",
  "#",
  "%",
  "&",
  "+",
  "..",
  ".",
  "%2F",
  "%252F",
  "%00",
  "=",
  ";",
  ":",
  "@",
  "'",
  '"',
  "`",
  "\\",
  "|",
  "<",
  ">",
  "$",
  "(",
  ")",
  "*",
  ",",
  "~",
  "!",
  "404",
  "tool",
  "Tool",
  "start",
  "MCP Server",
  "-",
  "_",
  " ",
  "a",
  "B",
  "7",
  "é",
  "e\u0301",
  "ß",
  "ø",
  "中",
  "ع",
  "ש",
  "🚀",
  "👩‍💻",
  "\u200d",
  "\u0301",
  "\u{1f600}",
];

/** `count` different names made of awkward pieces; every one is legal by construction. */
export function generated(count: number, random: () => number): NameCase[] {
  const seen = new Set<string>([...CHOSEN, ...REFUSED].map(({ name }) => name));
  const cases: NameCase[] = [];
  while (cases.length < count) {
    const pieces = 1 + Math.floor(random() * random() * 24);
    let name = "";
    for (let i = 0; i < pieces; i++) name += PIECES[Math.floor(random() * PIECES.length)];
    if (name !== name.trim() || /^(\.*|[\u200d ]*)$/.test(name) || [...name].length > 255 || seen.has(name)) continue;
    seen.add(name);
    cases.push({ name });
  }
  return cases;
}
