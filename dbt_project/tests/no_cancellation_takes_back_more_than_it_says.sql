{{ config(meta={'dagster': {'ref': {'name': 'int_cancellations_matched'}}}) }}

with said as (

    select
        customer_id,
        product_id,
        ordered_on as day,
        -sum(quantity) as quantity
    from {{ ref('stg_orders__lines') }}
    where is_cancellation
    group by
        customer_id,
        product_id,
        ordered_on

),

taken as (

    select
        customer_id,
        product_id,
        cancelled_on as day,
        sum(quantity) as quantity
    from {{ ref('int_cancellations_matched') }}
    group by
        customer_id,
        product_id,
        cancelled_on

)

select taken.*
from taken
left join said
    on
        taken.customer_id = said.customer_id
        and taken.product_id = said.product_id
        and taken.day = said.day
where said.quantity is null or taken.quantity > said.quantity
