// The random plugin: Terraform's provider of that name, bridged as the official one is.
package main

import (
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	"github.com/terraform-providers/terraform-provider-random/shim"

	"local/bridged-plugins/bridge"
)

// Set by the linker.
var version string

func main() {
	bridge.Serve("random", version, "Random", shim.New(), map[string]*tfbridge.ResourceInfo{
		// The one that has no id of Terraform's.
		"random_bytes": {ComputeID: tfbridge.DelegateIDField("base64", "random", "")},
	})
}
