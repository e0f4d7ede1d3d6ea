// Package host is the agent's side of plugin processes.
package host
