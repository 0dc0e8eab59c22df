using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

namespace ConfidentialChat.Gateway.State.Migrations.Sqlite
{
    /// <inheritdoc />
    public partial class RemovedNodes : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.AddColumn<long>(
                name: "removed_at",
                table: "nodes",
                type: "INTEGER",
                nullable: true);
        }

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropColumn(
                name: "removed_at",
                table: "nodes");
        }
    }
}
