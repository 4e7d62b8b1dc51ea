// The tls plugin: Terraform's provider of that name, bridged as the official one is.
package main

import (
	"github.com/hashicorp/terraform-provider-tls/shim"

	"local/bridged-plugins/bridge"
)

// Set by the linker.
var version string

func main() {
	bridge.Serve("tls", version, "", shim.New(), nil)
}
