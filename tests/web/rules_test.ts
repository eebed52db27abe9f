// Rules of the console that need no browser.

import { deepStrictEqual as equal } from "node:assert/strict";
import { ApiError, fromAnswer, isRefused } from "../../web/src/api/error.ts";

Deno.test("an order is over when it was refused, and not when its answer was lost", () => {
  const error = { code: "x", message: "It is so" };
  equal([400, 409, 422, 499].map((status) => isRefused(fromAnswer(status, { error }))), [true, true, true, true]);
  equal([500, 502, 503, 504].map((status) => isRefused(fromAnswer(status, { error }))), [false, false, false, false]);
  equal(isRefused(new ApiError("unreachable", "The server could not be reached", null)), false);
  equal(isRefused(new TypeError("Failed to fetch")), false);
  equal(isRefused({ message: "Failed to fetch", status: 0 }), false, "as sign-in says it");
});
