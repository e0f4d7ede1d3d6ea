package shim

// The C files of this package are the shim itself (see shim.h).

// #cgo CFLAGS: -std=gnu11 -O2 -Wall -Wextra -Wno-unused-parameter
import "C"
