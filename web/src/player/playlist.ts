// SPDX-License-Identifier: Apache-2.0
// What is asked of a stream's playlists outside of playing them: where they are, and whether the stream is on the air.

export function playlistUrl(path: string, query: URLSearchParams): URL {
  const url = new URL(`/${path.split("/").map(encodeURIComponent).join("/")}/index.m3u8`, location.href);
  url.search = query.toString();
  return url;
}

export type Air =
  | { is: "live" }
  | { is: "ended" } // its last segments are still there
  | { is: "nobody" }
  | { is: "refused"; message: string }
  | { is: "away" }; // the server does not answer

async function sentence(reply: Response): Promise<string> {
  try {
    const problem = (await reply.json()) as { title?: unknown; detail?: unknown };
    const said = problem.detail ?? problem.title;
    return typeof said === "string" ? said : `refused (${reply.status})`;
  } catch {
    return `refused (${reply.status})`;
  }
}

export async function askAir(master: URL, signal: AbortSignal): Promise<Air> {
  try {
    const reply = await fetch(master, { cache: "no-store", signal });
    if (reply.status === 401 || reply.status === 403) {
      return { is: "refused", message: await sentence(reply) };
    }
    if (!reply.ok) {
      return { is: reply.status === 404 ? "nobody" : "away" };
    }
    const first = (await reply.text()).split("\n").find((line) => line !== "" && !line.startsWith("#"));
    const list = await fetch(new URL(first ?? "", master), { cache: "no-store", signal });
    const text = list.ok ? await list.text() : "";
    return { is: !text ? "nobody" : text.includes("#EXT-X-ENDLIST") ? "ended" : "live" };
  } catch {
    return { is: "away" };
  }
}
