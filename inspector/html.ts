/** One file: the data, packed; the page's script; nothing from outside. */

/** `packed`: the data as JSON, gzipped, in base64. `script`: the page's code. The page may not reach any network. */
export function pageHtml(title: string, packed: string, script: string): string {
  const safe = title.replace(/[<>&"]/g, (c) => `&#${c.charCodeAt(0)};`);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="gyre">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data: blob:">
<title>${safe} · Gyre</title>
</head>
<body>
<noscript>This page needs JavaScript. It loads nothing from the network.</noscript>
<script id="data" type="application/octet-stream">${packed}</script>
<script>${script.replaceAll("</script", "<\\/script")}</script>
</body>
</html>
`;
}
