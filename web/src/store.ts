// SPDX-License-Identifier: Apache-2.0
// What a viewer chose, kept in the browser. Where that is forbidden, nothing is kept.

export function recall(name: string): string | null {
  try {
    return localStorage.getItem(`mast.${name}`);
  } catch {
    return null;
  }
}

export function remember(name: string, value: string): void {
  try {
    localStorage.setItem(`mast.${name}`, value);
  } catch {
    // as good as chosen for now
  }
}
