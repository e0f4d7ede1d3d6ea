// Command launcher is drivers/entry and nothing else: the program that
// drivers/entry/image embeds, because a small program starts in a fraction of the
// time of the whole binary, and every container start needs it twice.
package main

import (
	"os"

	"github.com/steppe-project/steppe/drivers/entry"
)

func main() {
	entry.Main(os.Args)
	os.Exit(2) // not started as what it is for
}
