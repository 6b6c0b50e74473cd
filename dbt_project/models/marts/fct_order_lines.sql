-- A delivery's rows never change: a corrected file is another delivery. So the mart is kept right
-- by appending the deliveries that it does not have and deleting those that raw has no longer.

{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        pre_hook="{{ delete_vanished_deliveries(ref('stg_orders__lines')) }}"
    )
}}

{% set content = [
    'delivery',
    'order_id',
    'product_id',
    'description',
    'customer_id',
    'country',
    'quantity',
    'unit_price',
    'ordered_at'
] %}

with lines as (

    select * from {{ ref('stg_orders__lines') }}
    {% if is_incremental() %}
    where delivery not in (select delivery from {{ this }})
    {% endif %}

),

numbered as (

    select
        *,
        row_number() over (
            partition by {{ content | join(', ') }}
            order by order_id
        ) as occurrence
    from lines

)

select
    {{ content_hash(content + ['occurrence']) }} as order_line_id,
    order_id,
    product_id,
    description,
    customer_id,
    country,
    quantity,
    unit_price,
    amount,
    ordered_at,
    ordered_on,
    is_purchase,
    is_cancellation,
    is_product,
    delivery
from numbered
order by
    ordered_at,
    order_line_id
