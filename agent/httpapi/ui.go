package httpapi

import (
	"io"
	"net/http"
)

// page is what a browser finds until the web console comes.
const page = `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Steppe</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:40em;margin:4em auto;padding:0 1em}code{background:#eee;padding:.1em .3em}</style>
<h1>Steppe</h1>
<p>This agent works. The web console comes in a later version; until then:</p>
<ul>
<li>the command line: <code>steppe job status</code>, <code>steppe node status</code>, <code>steppe help</code></li>
<li>the API: <a href="/v1/jobs?pretty">jobs</a>, <a href="/v1/nodes?pretty">nodes</a>,
<a href="/v1/agent/members?pretty">members</a>, <a href="/v1/metrics?format=prometheus">metrics</a></li>
</ul>
</html>
`

func servePage(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	_, _ = io.WriteString(w, page) // a reader that is gone needs no answer
}
