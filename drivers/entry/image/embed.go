//go:build steppe_launcher

package image

import _ "embed"

//go:embed launcher.bin
var program string
