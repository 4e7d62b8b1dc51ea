// Package shim hands out the provider, which its own module keeps to itself.
package shim

import (
	"github.com/hashicorp/terraform-plugin-framework/provider"
	random "github.com/terraform-providers/terraform-provider-random/internal/provider"
)

func New() provider.Provider {
	return random.New()
}
